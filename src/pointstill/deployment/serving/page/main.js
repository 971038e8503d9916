// The page: what was dropped goes to a classifier, and what it says to the cards and the viewer.

import { card, sentence } from "./answer_card.js";
import { headers, ThereClassifier } from "./classify_there.js";
import { CloudError } from "./cloud.js";
import { drawThumbnail } from "./thumbnail.js";

const find = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token");
let site, classifier, viewer, shown, opened, painted = false, latest = 0;

async function start() {
  const response = await fetch("site.json", { headers: headers(token) });
  if (response.status === 401) {
    throw new CloudError("This server asks for a token", "open the address that it printed, with #token=");
  }
  site = await response.json();
  const here = site.where === "browser";
  find("where").textContent = here
    ? "Classified in this browser: no cloud leaves it."
    : `Classified by the server at ${location.host}.`;
  find("formats").textContent = `Files: ${site.formats.join(", ")}. pointstill ${site.version}.`;
  find("file").accept = site.formats.map((each) => `.${each}`).join(",");
  classifier = here
    ? new (await import("./classify_here.js")).HereClassifier(site)
    : new ThereClassifier(token);
  try {
    viewer = new (await import("./viewer.js")).Viewer(find("canvas"), site.up);
  } catch {
    find("canvas").hidden = find("invitation").hidden = true;
    find("flat").hidden = false;
  }
  find("up").value = site.up;
  introduce();
  listen();
  find("choice").hidden = !site.samples.length;
  for (const sample of site.samples) addSample(sample);
}

function listen() {
  find("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) open(target.files[0].name, target.files[0]);
    target.value = "";
  });
  find("reset").addEventListener("click", () => viewer.reset());
  find("colours").addEventListener("change", paint);
  find("up").addEventListener("change", () => opened && open(...opened));
  let within = 0;
  const dragging = (change) => document.body.classList.toggle("dragging", (within = Math.max(0, within + change)) > 0);
  addEventListener("dragenter", (event) => { event.preventDefault(); dragging(1); });
  addEventListener("dragleave", () => dragging(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(-within);
    const [file] = event.dataTransfer.files;
    if (file) open(file.name, file);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

function addSample({ name, file }) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  const picture = document.createElement("canvas");
  button.append(picture, name);
  find("samples").append(button);
  const content = fetch(file).then((response) => response.blob());
  content.then(async (blob) => drawThumbnail(picture, await plyPoints(blob), site.up)).catch(() => picture.remove());
  button.addEventListener("click", async () => {
    find("up").value = site.up;
    open(file, await content, button);
  });
}

/** Points of one of our own samples: a binary PLY of float32. */
async function plyPoints(blob) {
  const content = await blob.arrayBuffer();
  const head = new TextDecoder("latin1").decode(content.slice(0, 400));
  const start = head.indexOf("end_header\n") + 11;
  return Float64Array.from(new Float32Array(content.slice(start)));
}

/** Classify a file and show what comes of it, unless another one is opened meanwhile. */
async function open(name, blob, button = null) {
  const mine = (latest += 1);
  opened = [name, blob, button];
  for (const each of find("samples").children) each.setAttribute("aria-pressed", String(each === button));
  const base = name.split("/").pop();
  say(`Reading ${base} …`);
  document.body.setAttribute("aria-busy", "true");
  try {
    await classifier.classify(name, await blob.arrayBuffer(), find("up").value, (result) => {
      if (mine === latest) show(base, result);
    });
  } catch (error) {
    if (mine === latest) fail(error);
  } finally {
    if (mine === latest) document.body.removeAttribute("aria-busy");
  }
}

function show(name, result) {
  const again = shown?.cloud === result.cloud;
  const several = result.answers.length > 1;
  const count = result.points.toLocaleString("en");
  if (!again) say(`${name}, ${count} points`, result.answers.map((each) => sentence(each, several)).join("; "));
  find("known").hidden = true;
  find("cards").replaceChildren(...result.answers.map(card));
  find("notes").hidden = !result.notes.length;
  find("notes").replaceChildren(...result.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  shown = result;
  window.pointstill = result; // for tests and the curious
  find("invitation").hidden = true;
  if (!viewer) return;
  find("canvas").setAttribute("aria-label", `${name}: a cloud of ${count} points; arrow keys turn it`);
  find("reset").hidden = false;
  if (!again) viewer.show(result.cloud.points, result.cloud.stray);
  chooseColours();
  paint();
}

function fail(error) {
  console.error(error);
  shown = null;
  find("cards").replaceChildren();
  find("notes").hidden = true;
  say(error instanceof CloudError ? error.message : `Something went wrong: ${error.message}`, "", true);
}

/** Say something where it is read aloud; what is `beside` stands in the cards already. */
function say(text, beside = "", wrong = false) {
  const heard = document.createElement("span");
  heard.className = "aside";
  heard.textContent = beside && `: ${beside}`;
  find("said").replaceChildren(text, heard);
  find("said").classList.toggle("wrong", wrong);
}

/** What each student can answer, before anything is asked. */
function introduce() {
  say("No cloud yet.");
  const alike = Map.groupBy(site.students, ({ classes }) => classes.join(", "));
  find("known").append(...Array.from(alike, ([classes, students]) => {
    const line = document.createElement("p"), called = document.createElement("b");
    called.textContent = students.map(({ name }) => name).join(", ");
    const tell = students.length > 1 ? "tell" : "tells";
    line.append(called, ` ${tell} ${students[0].classes.length} classes apart: ${classes}.`);
    return line;
  }));
}

/** One choice for plain points, and one for the parts of each student; what was chosen stays. */
function chooseColours() {
  const chosen = find("colours").value;
  const explained = shown.answers.filter((answer) => answer.parts).map((answer) => answer.student);
  const several = explained.length > 1;
  const options = explained.map((name) => new Option(several ? `parts, ${name}` : "parts that decided", name));
  find("colours").replaceChildren(new Option("plain", ""), ...options);
  find("colours").selectedIndex = 1;
  if (painted && ["", ...explained].includes(chosen)) find("colours").value = chosen;
  find("colouring").hidden = !explained.length;
  painted ||= explained.length > 0;
}

function paint() {
  if (!viewer || !shown) return;
  const { groups, stray } = shown.cloud;
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, accent, against, grey] = ["--ink", "--soft", "--accent", "--against", "--stray"].map((name) => rgb(style.getPropertyValue(name)));
  const plain = mix(ink, soft, 0.6), neutral = mix(soft, grey, 0.4);
  const chosen = find("colours").value;
  const parts = shown.answers.find((answer) => answer.student === chosen)?.parts;
  const most = parts ? Math.max(...parts.map(Math.abs)) || 1 : 1;
  viewer.paint((i) => {
    if (stray[i]) return css(grey);
    if (!parts || !groups) return css(plain);
    const fall = parts[groups[i]] / most;
    return css(mix(neutral, fall > 0 ? accent : against, Math.abs(fall)));
  });
  const left = stray.reduce((sum, each) => sum + each, 0);
  find("legend").hidden = !parts && !left;
  for (const key of document.querySelectorAll(".parts-key")) key.hidden = !parts;
  document.querySelector(".stray-key").hidden = !left;
  find("strays").textContent = `${left} ${left === 1 ? "stray" : "strays"} left out${viewer.beyond ? "; zoom out to see all" : ""}`;
}

const rgb = (hex) => [1, 3, 5].map((place) => parseInt(hex.trim().slice(place, place + 2), 16));
const mix = (a, b, share) => a.map((value, i) => value + share * (b[i] - value));
const css = (colour) => `rgb(${colour.map(Math.round).join(",")})`;

start().catch(fail);
