// Classification by the server that sent this page.

import { CloudError } from "./cloud.js";

export class ThereClassifier {
  /** @param {string | null} token that the server asks for, if any. */
  constructor(token) {
    this.token = token;
  }

  /** As `HereClassifier.classify`; all is told at once. */
  async classify(name, content, up, tell) {
    const form = new FormData();
    form.append("file", new Blob([content]), name);
    let response;
    try {
      response = await fetch(`classify?details=true&up=${up}`, { method: "POST", body: form, headers: headers(this.token) });
    } catch {
      throw new CloudError("The server does not answer", "see whether it still runs");
    }
    const said = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw new CloudError(sentence(said.what ?? `The server answers ${response.status}`), said.fix);
    }
    const { points, groups = null, strays = [] } = said.cloud;
    const stray = new Uint8Array(points.length);
    for (const place of strays) stray[place] = 1;
    tell({ ...said, cloud: { points: Float32Array.from(points.flat()), groups, stray } });
  }
}

export function headers(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
