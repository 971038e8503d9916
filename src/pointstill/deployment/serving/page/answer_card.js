// What one student says, drawn: the answer, its rivals, and whether the cloud is one it knows.

export const percent = (share) =>
  share >= 0.9995 ? "> 99.9 %" : share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;

/** Whether a student rejects a cloud; one without a threshold never does. */
export const unknown = (answer) => answer.threshold !== undefined && answer.score < answer.threshold;

/** In a few words, for who listens. */
export function sentence(answer, several) {
  const [first] = answer.classes;
  const said = unknown(answer)
    ? `unknown (${first.name} ${percent(first.probability)})`
    : `${first.name}, ${percent(first.probability)}`;
  return several ? `${answer.student}: ${said}` : said;
}

export function card(answer) {
  const [first] = answer.classes;
  const box = element("article", "card");
  box.append(element("h3", "", answer.student));
  const headline = element("p", "answer", unknown(answer) ? "unknown " : `${first.name} `);
  const beside = unknown(answer) ? `${first.name} ${percent(first.probability)}` : percent(first.probability);
  headline.append(element("small", "", beside));
  box.append(headline, bars(answer.classes));
  if (answer.threshold !== undefined) box.append(meter(answer));
  if (answer.milliseconds !== undefined) {
    box.append(element("p", "took", `${answer.milliseconds.toFixed(1)} ms on this machine`));
  }
  return box;
}

function bars(classes) {
  const list = element("ol", "bars");
  for (const { name, probability } of classes) {
    const row = element("li");
    const track = element("span", "track"), fill = element("span", "fill");
    fill.style.width = `${100 * probability}%`;
    track.append(fill);
    const named = element("span", "name", name);
    named.title = name;
    row.append(named, track, element("span", "share", percent(probability)));
    list.append(row);
  }
  return list;
}

/** The score against the line below which a cloud is called unknown; the line is in the middle. */
function meter({ score, threshold }) {
  const box = element("div", "meter");
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", `score ${score.toFixed(2)}; below ${threshold.toFixed(2)} a cloud is unknown`);
  const span = 1.15 * Math.max(4, Math.abs(score - threshold));
  const track = element("div", "track"), dot = element("span", "dot");
  dot.style.left = `${50 + (50 * (score - threshold)) / span}%`;
  track.append(element("span", "line"), dot);
  const ends = element("div", "ends");
  ends.append(element("span", "", "unknown"), element("span", "", `line at ${threshold.toFixed(1)}, score ${score.toFixed(1)}`), element("span", "", "known"));
  box.append(track, ends);
  return box;
}

function element(kind, name = "", text = "") {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}
