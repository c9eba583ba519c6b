/** What the page shows. */
import type { Label, Prediction } from "../src/index.ts";
import type { Shown } from "./teacher.ts";

export function element<Kind extends HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}

export function say(id: "verdict" | "status" | "warning" | "error" | "facts", text: string): void {
  element(id).textContent = text;
}

/** Show a bar for each class, and the answer above them; without a prediction, show why there is none. */
export function showPrediction(labels: readonly Label[], found: Prediction | string): void {
  const waiting = typeof found === "string";
  element("verdict").classList.toggle("waiting", waiting);
  const answer = waiting ? found : found.unknown === true ? "None of these, it seems" : String(found.label);
  if (element("verdict").textContent !== answer) say("verdict", answer);
  const best = waiting ? undefined : found.label;
  const bars = labels.map((label, way) => bar(label, waiting ? null : found.probabilities[way]!, label === best));
  element("bars").replaceChildren(...bars);
}

function bar(label: Label, probability: number | null, best: boolean): HTMLLIElement {
  const item = document.createElement("li");
  item.classList.toggle("best", best);
  const fill = document.createElement("i");
  fill.style.width = `${100 * (probability ?? 0)}%`;
  item.append(
    fill,
    text("span", String(label)),
    text("span", probability === null ? "–" : `${(100 * probability).toFixed(1)} %`),
  );
  return item;
}

export interface Actions {
  add(label: Label): void;
  forget(label: Label): void;
}

/** Show a card for each class with its pictures. */
export function showClasses(labels: readonly Label[], examples: readonly Shown[], actions: Actions): void {
  element("none").hidden = labels.length > 0;
  element("classes").replaceChildren(...labels.map((label) => card(label, examples, actions)));
}

function card(label: Label, examples: readonly Shown[], actions: Actions): HTMLLIElement {
  const item = document.createElement("li");
  const pictures = document.createElement("div");
  pictures.className = "pictures";
  const shown = examples.filter((example) => example.label === label);
  pictures.append(...shown.map(({ image }) => thumbnail(image)));
  if (shown.length === 0) pictures.append(text("span", "learned before, from a file", "quiet"));
  const row = document.createElement("div");
  row.className = "actions";
  row.append(
    button("Add drawing", `Add the drawing to ${label}`, () => actions.add(label)),
    button("Forget", `Forget ${label}`, () => actions.forget(label)),
  );
  item.append(text("h3", String(label)), pictures, row);
  return item;
}

function thumbnail(image: HTMLCanvasElement): HTMLCanvasElement {
  const made = document.createElement("canvas");
  made.width = made.height = 88;
  made.getContext("2d")!.drawImage(image, 0, 0, 88, 88);
  return made;
}

function button(caption: string, meaning: string, action: () => void): HTMLButtonElement {
  const made = text("button", caption) as HTMLButtonElement;
  made.type = "button";
  made.setAttribute("aria-label", meaning);
  made.addEventListener("click", action);
  return made;
}

function text(kind: string, content: string, className = ""): HTMLElement {
  const made = document.createElement(kind);
  made.textContent = content;
  made.className = className;
  return made;
}

/** Offer a file for saving. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // a browser may still be asking where to put it
}
