"use strict";
// Faces of a build under way: they come as they are made, and can be accepted or rejected by keyboard.

const live = { version: 0, epoch: "", busy: false, again: false, last: Promise.resolve(), write: readData("live").write };

source.paint = (node, row) => {
  node.style.backgroundImage = "url(/thumb/" + row.index + ")";
  node.style.backgroundSize = "100% 100%";
};

source.explain = async (row) => {
  const holder = make("div", {});
  const answer = await fetch("/face/" + row.index);
  holder.innerHTML = answer.ok ? await answer.text() : "";
  if (!answer.ok) holder.append(make("p", { className: "note" }, await answer.text()));
  const steps = holder.querySelector(".steps .note");
  if (steps) showSteps(row, steps.closest(".steps"));
  return holder;
};

/** Steps take as long as building the face did: they follow when they are drawn. */
async function showSteps(row, place) {
  const answer = await fetch("/steps/" + row.index);
  if (answer.ok && (!page.explainer.row || page.explainer.row.index === row.index)) place.innerHTML = await answer.text();
}

/** Ask for the faces that changed since the last time. */
async function catchUp() {
  if (live.busy) { live.again = true; return; }
  live.busy = true;
  try {
    do {
      live.again = false;
      const answer = await fetch("/api/faces?since=" + live.version + "&epoch=" + live.epoch);
      if (answer.ok) take(await answer.json());
    } while (live.again);
  } finally { live.busy = false; }
}

function take(news) {
  const known = new Map(news.whole ? [] : source.byIndex);
  const faces = news.faces;
  source.names = faces.names;
  for (const index of news.removed) known.delete(index);
  faces.index.forEach((index, place) => {
    const row = known.get(index) || { index };
    Object.assign(row, {
      file: faces.file[place], score: faces.score[place], parts: faces.names.map((_, part) => faces.parts[part][place]),
      zoom: faces.zoom[place], fraction: faces.fraction[place], crop: faces.crop[place],
      status: STATUS[faces.kept[place]], verdict: faces.verdict[place],
    });
    known.set(index, row);
  });
  const grown = news.whole || news.removed.length || faces.index.some((index) => !source.byIndex.has(index));
  live.version = news.version;
  live.epoch = news.epoch;
  source.byIndex = known;
  source.rows = Array.from(known.values()).sort((a, b) => a.index - b.index);
  if (grown) page.gallery.arrange();
  else for (const index of faces.index) mark(known.get(index));
  count();
}

/** Show on every picture of a face what was decided. */
function mark(row) {
  for (const node of document.querySelectorAll('.face[data-index="' + row.index + '"]')) {
    node.classList.remove("accepted", "refused", "kept", "out");
    node.classList.add(row.status);
    if (row.verdict) node.classList.add(row.verdict);
    if (node.closest(".canvas")) node.setAttribute("aria-label", describe(row));
  }
}

function count() {
  const of = (verdict) => source.rows.filter((row) => row.verdict === verdict).length;
  const node = document.querySelector(".review .counts");
  if (node) node.textContent = of("accepted") + " accepted, " + of("refused") + " rejected of " + source.rows.length;
}

function say(text) {
  const node = document.querySelector(".review output");
  if (node) node.textContent = text;
}

/** Verdicts are sent one after the other: an undo must not overtake what it undoes. */
function send(path, body) {
  const turn = live.last.then(() => post(path, body));
  live.last = turn;
  return turn;
}

async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  } catch (error) {
    say("Not saved: the server does not answer");
    return null;
  }
  if (answer.ok) return answer.json();
  say("Not saved: " + (await answer.text()));
  return null;
}

const WORDS = { accepted: "Accepted", refused: "Rejected", "": "Open again:" };

async function decide(row, verdict) {
  const before = row.verdict;
  row.verdict = verdict;
  mark(row);
  const saved = await send("/api/review", { index: row.index, verdict });
  if (!saved) { row.verdict = before; mark(row); return; }
  say(WORDS[verdict] + " " + row.file);
  count();
}

async function undo() {
  const saved = await send("/api/undo", {});
  if (!saved) return;
  if (saved.index === null) { say("Nothing to undo"); return; }
  const row = source.byIndex.get(saved.index);
  if (row) { row.verdict = saved.verdict; mark(row); }
  say("Undone: " + (row ? row.file : "face " + saved.index));
  count();
}

/** Keys: a accepts, r rejects, c takes a verdict back, u undoes; the next face gets the focus. */
function reviewByKey(event) {
  if (!live.write || event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
  const key = event.key.toLowerCase();
  if (key === "u") { event.preventDefault(); undo(); return; }
  const verdict = { a: "accepted", r: "refused", c: "" }[key];
  if (verdict === undefined) return;
  const dialog = page.explainer.dialog;
  if (dialog.open) {
    event.preventDefault();
    decide(page.explainer.row, verdict);
    page.explainer.step(1);
    return;
  }
  const node = document.activeElement.closest(".face");
  const row = node && source.byIndex.get(Number(node.dataset.index));
  if (!row) return;
  event.preventDefault();
  decide(row, verdict);
  if (node.closest(".canvas")) page.gallery.focus(Math.min(page.gallery.current + 1, page.gallery.order.length - 1));
  else if (node.nextElementSibling) node.nextElementSibling.focus();
}

startFaces();
document.addEventListener("keydown", reviewByKey);
document.addEventListener("renewed", () => source.rows.forEach((row) => { if (row.verdict) mark(row); }));
for (const button of document.querySelectorAll(".review button")) {
  button.addEventListener("click", () => {
    if (button.dataset.verdict === undefined) { undo(); return; }
    const row = page.gallery.order[page.gallery.current];
    if (!row) return;
    decide(row, button.dataset.verdict);
    page.gallery.current = Math.min(page.gallery.current + 1, page.gallery.order.length - 1);
    page.gallery.draw();
  });
}
listen(catchUp);
