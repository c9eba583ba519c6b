/** The page: draw, label, and see at once what the learner makes of it. */
import { type ImageSpec, type Label, Learner, QuickstudyError, type Source, threads } from "../src/index.ts";
import { Drawing } from "./drawing.ts";
import { pictureOf } from "./pictures.ts";
import { Teacher } from "./teacher.ts";
import { download, element, say, showClasses, showPrediction } from "./view.ts";

let teacher: Teacher | null = null;
let predicting = false;
let stale = false;

const label = element<HTMLInputElement>("label");
const drawing = new Drawing(element("canvas"), element("pen"), () => {
  element("hint").hidden = !drawing.empty;
  void predict();
});

/** Run what a user asked for; what goes wrong, or is unlike the learner's training, is said on the page. */
async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
    const warning = teacher?.warning() ?? null;
    if (warning !== null) say("warning", `Note: ${warning}`);
  } catch (thrown) {
    if (!(thrown instanceof QuickstudyError)) {
      say("error", `Something went wrong: ${thrown}`);
      throw thrown;
    }
    say("error", thrown.message);
  }
}

/** Open a learner, or a skill. */
async function open(source: Source): Promise<void> {
  const start = performance.now();
  const learner = await Learner.load(source);
  teacher = new Teacher(learner);
  const { learner: facts, input } = learner.manifest;
  if (input.kind !== "image") {
    teacher = null;
    say("verdict", "This learner reads rows of numbers, and this page draws images. Open another.");
  } else {
    const running = threads() === 1 ? "1 thread" : `${threads()} threads`;
    const { width, height, channels } = input as ImageSpec;
    const seen = `${width}×${height} ${channels === 1 ? "grey" : "colour"}`;
    say(
      "facts",
      `Learner: ${facts.name}, images of ${seen}. Loaded in ${Math.round(performance.now() - start)} ms; WebAssembly, ${running}.`,
    );
    element("polarity").hidden = !teacher.strokes;
  }
  say("status", "");
  say("warning", "");
  refresh();
}

/** Predict the drawing; while one prediction runs, only the newest drawing waits. */
async function predict(): Promise<void> {
  stale = true;
  if (predicting) return;
  predicting = true;
  while (stale) {
    stale = false;
    await attempt(async () => {
      if (teacher === null) return;
      const { labels } = teacher;
      if (!teacher.ready)
        showPrediction(
          labels,
          labels.length === 0 ? "Waiting for two classes." : "One class so far: add an example of another.",
        );
      else if (drawing.empty) showPrediction(labels, "Draw something to see what it is.");
      else {
        const found = await teacher.predict(drawing.canvas);
        showPrediction(teacher.labels, found);
      }
    });
    await new Promise(requestAnimationFrame);
  }
  predicting = false;
}

/** Add examples of a class, and say how long adapting took. */
async function learn(chosen: Label, pictures: readonly HTMLCanvasElement[]): Promise<void> {
  quiet();
  await attempt(async () => {
    const took = await teacher!.add(pictures.map((image) => ({ label: chosen, image })));
    say("status", took === null ? "" : `Adapted in ${took < 10 ? took.toFixed(1) : Math.round(took)} ms.`);
  });
  refresh();
}

/** Make the drawing an example of a class. */
async function addDrawing(chosen: Label): Promise<void> {
  if (drawing.empty) return say("error", "The drawing is empty: draw something first.");
  const picture = drawing.copy();
  drawing.clear();
  await learn(chosen, [picture]);
}

/** Unlearn a class. */
async function forget(chosen: Label): Promise<void> {
  quiet();
  say("status", "");
  await attempt(() => teacher!.forget(chosen));
  refresh();
}

/** Take files: a bundle is opened, images become examples of the typed label, and without a label the first goes onto the canvas. */
async function take(files: readonly File[]): Promise<void> {
  quiet();
  const bundle = files.find((file) => file.name.endsWith(".qs"));
  if (bundle !== undefined) return attempt(() => open(bundle));
  await attempt(async () => {
    const light = teacher!.strokes && element<HTMLSelectElement>("ink").value === "light";
    const chosen = typed();
    const pictures: HTMLCanvasElement[] = [];
    for (const file of chosen === "" ? files.slice(0, 1) : files) pictures.push(await pictureOf(file, light));
    if (pictures.length === 0) return;
    if (chosen === "") drawing.show(pictures[0]!);
    else await learn(chosen, pictures);
  });
}

/** Take back what was said of the step before. */
function quiet(): void {
  say("error", "");
  say("warning", "");
}

/** Return the label that is typed. */
function typed(): string {
  return label.value.trim();
}

/** Show what is known now. */
function refresh(): void {
  const ready = teacher !== null;
  element<HTMLButtonElement>("add").disabled = !ready;
  element<HTMLInputElement>("files").disabled = !ready;
  element<HTMLButtonElement>("save").disabled = !teacher?.ready;
  showClasses(teacher?.labels ?? [], teacher?.examples ?? [], {
    add: (chosen) => void addDrawing(chosen),
    forget: (chosen) => void forget(chosen),
  });
  void predict();
}

/** Take the files that an input is given. */
function onFiles(id: string): void {
  const input = element<HTMLInputElement>(id);
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = "";
    void take(files);
  });
}

element("teach").addEventListener("submit", (event) => {
  event.preventDefault();
  if (typed() !== "") void addDrawing(typed());
});
element("clear").addEventListener("click", () => drawing.clear());
element("save").addEventListener("click", () => void attempt(async () => download(await teacher!.save(), "skill.qs")));
onFiles("open");
onFiles("files");
addEventListener("dragover", (event) => {
  event.preventDefault();
  element("paper").classList.add("dropping");
});
addEventListener("dragleave", () => element("paper").classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  element("paper").classList.remove("dropping");
  void take([...(event.dataTransfer?.files ?? [])]);
});

await attempt(() => open(new URL("learner.qs", location.href)));
if (teacher === null && element("error").textContent !== "")
  say("verdict", "No learner yet. Open a file of quickstudy export.");
