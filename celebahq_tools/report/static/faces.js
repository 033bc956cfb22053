"use strict";
// The faces of a dataset: a sheet of any number of them, sorted and filtered, and a window that explains one.
// A page from a file carries its faces; a page from a server asks for them (live.js replaces `source`).

const STATUS = ["out", "kept"];

/** Where faces come from. `rows` are {index, file, score, parts, zoom, fraction, crop, status, verdict, place}. */
const source = {
  names: [],
  rows: [],
  byIndex: new Map(),
  sheets: new Map(),
  sprite: null,

  load(data) {
    this.names = data.names;
    this.sprite = data.sprite;
    this.rows = data.index.map((index, place) => ({
      index,
      place,
      file: data.file[place],
      score: data.score[place],
      parts: data.names.map((_, part) => data.parts[part][place]),
      zoom: data.zoom[place],
      fraction: data.fraction[place],
      crop: data.crop[place],
      status: STATUS[data.kept[place]],
      verdict: "",
    }));
    this.byIndex = new Map(this.rows.map((row) => [row.index, row]));
  },

  /** Put a thumbnail into a node: a part of a sheet that is unpacked when first needed. */
  paint(node, row) {
    const { side, columns, sheet: perSheet } = this.sprite;
    const number = Math.floor(row.place / perSheet);
    if (!this.sheets.has(number)) {
      const bytes = readBlock("sprite-" + number);
      this.sheets.set(number, URL.createObjectURL(new Blob([bytes], { type: "image/webp" })));
    }
    const within = row.place % perSheet;
    const rows = Math.ceil(Math.min(perSheet, this.rows.length - number * perSheet) / columns);
    const x = within % columns, y = Math.floor(within / columns);
    node.style.backgroundImage = "url(" + this.sheets.get(number) + ")";
    node.style.backgroundSize = 100 * columns + "% " + 100 * rows + "%";
    node.style.backgroundPosition = (100 * x) / (columns - 1) + "% " + (rows > 1 ? (100 * y) / (rows - 1) : 0) + "%";
    node.dataset.side = side;
  },

  /** Return what the window shows of a face. */
  async explain(row) {
    const template = document.getElementById("face-" + row.index);
    if (template) return template.content.cloneNode(true);
    const thumb = make("span", { className: "thumb", role: "img" });
    thumb.setAttribute("aria-label", "Face " + row.index);
    this.paint(thumb, row);
    const facts = make("dl", { className: "facts" });
    for (const [name, value] of listParts(row, true)) facts.append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    const note = make("p", { className: "note" },
      "This file explains the faces shown in groups above. The steps and the spectrum of every face are in ",
      make("code", {}, "celebahq serve WORK"), ", or in ", make("code", {}, "celebahq inspect"), " for one photograph.");
    return make("article", { className: "explained" },
      make("div", { className: "portrait" }, thumb), make("div", { className: "known" }, facts), make("div", { className: "steps" }, note));
  },
};

function show(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

/** Return names and values of a face; short ones fit on a thumbnail. */
function listParts(row, long) {
  const parts = [["score", show(row.score, 4)]];
  row.parts.forEach((value, part) => parts.push([source.names[part], show(value, 3)]));
  parts.push(["zoom", show(row.zoom, 2) + "×"]);
  parts.push(["photo", row.fraction === null ? "–" : (100 * row.fraction).toFixed(0) + " %"]);
  if (long) parts.unshift(["file", row.file]), parts.push(["crop", show(row.crop, 0) + " px"]), parts.push(["status", row.status === "kept" ? "kept" : "left out"]);
  return parts;
}

function describe(row) {
  const verdict = { accepted: ", accepted by review", refused: ", rejected by review" }[row.verdict] || "";
  return row.file + ", score " + show(row.score, 4) + (row.status === "kept" ? ", kept" : ", left out") + verdict;
}

/** The sheet of all faces: only what is in sight exists as nodes. */
class Gallery {
  constructor(root) {
    this.form = root.querySelector(".controls");
    this.output = this.form.querySelector("output");
    this.window = root.querySelector(".window");
    this.canvas = root.querySelector(".canvas");
    this.order = [];
    this.current = 0;
    this.nodes = new Map();
    this.form.hidden = false;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => { this.window.scrollTop = 0; this.current = 0; this.arrange(); });
    this.window.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw(true)).observe(this.window);
    this.canvas.addEventListener("keydown", (event) => this.move(event));
    this.canvas.addEventListener("focusin", (event) => {
      const node = event.target.closest(".face");
      if (node) this.current = Number(node.dataset.position);
    });
    this.arrange();
  }

  value(row, key) {
    if (key in row && key !== "parts") return row[key];
    return row.parts[source.names.indexOf(key)];
  }

  matches(row, wanted) {
    if (wanted.status === "kept" || wanted.status === "out") { if (row.status !== wanted.status) return false; }
    else if (wanted.status === "open") { if (row.verdict) return false; }
    else if (wanted.status !== "all" && row.verdict !== wanted.status) return false;
    if (wanted.text && !row.file.toLowerCase().includes(wanted.text)) return false;
    if (wanted.key === "file") return true;
    const value = this.value(row, wanted.key);
    if (wanted.least !== null && !(value >= wanted.least)) return false;
    return !(wanted.most !== null && !(value <= wanted.most));
  }

  /** Sort and filter anew. */
  arrange() {
    const field = (name) => this.form.elements[name].value;
    const number = (name) => (field(name) === "" ? null : Number(field(name)));
    const wanted = { key: field("sort"), status: field("status"), text: field("text").toLowerCase(), least: number("least"), most: number("most") };
    const down = field("order") === "down" ? -1 : 1;
    const rows = source.rows.filter((row) => this.matches(row, wanted));
    if (wanted.key === "file") {
      const collator = new Intl.Collator(undefined, { numeric: true });
      rows.sort((a, b) => down * collator.compare(a.file, b.file));
    } else {
      const key = new Map(rows.map((row) => [row, this.value(row, wanted.key)]));
      const missing = (value) => value === null || value === undefined;
      rows.sort((a, b) => {
        const x = key.get(a), y = key.get(b);
        if (missing(x) || missing(y)) return missing(x) - missing(y) || a.index - b.index;
        return down * (x - y) || a.index - b.index;
      });
    }
    this.order = rows;
    this.output.textContent = rows.length.toLocaleString("en") + " of " + source.rows.length.toLocaleString("en") + " faces";
    this.draw(true);
  }

  /** Draw what is in sight; everything anew if sizes or the order changed. */
  draw(anew) {
    const width = this.canvas.clientWidth;
    if (!width) return;
    const gap = 8;
    this.columns = Math.max(2, Math.floor((width + gap) / (128 + gap)));
    const side = (width + gap) / this.columns - gap;
    const step = side + gap;
    const focused = this.canvas.contains(document.activeElement);
    if (anew) { this.canvas.replaceChildren(); this.nodes.clear(); }
    this.step = step;
    this.canvas.style.height = Math.max(0, Math.ceil(this.order.length / this.columns) * step - gap) + "px";
    const first = Math.max(0, Math.floor(this.window.scrollTop / step) - 1) * this.columns;
    const last = Math.min(this.order.length, Math.ceil((this.window.scrollTop + this.window.clientHeight) / step + 1) * this.columns);
    for (const [position, node] of this.nodes) {
      if ((position < first || position >= last) && node !== document.activeElement) { node.remove(); this.nodes.delete(position); }
    }
    for (let position = first; position < last; position++) {
      if (this.nodes.has(position)) continue;
      const node = this.tile(this.order[position], position);
      Object.assign(node.style, {
        left: (position % this.columns) * step + "px", top: Math.floor(position / this.columns) * step + "px",
        width: side + "px", height: side + "px",
      });
      this.nodes.set(position, node);
      this.canvas.append(node);
    }
    this.current = Math.min(this.current, Math.max(0, this.order.length - 1));
    const reachable = this.nodes.get(this.current) || this.nodes.get(first);
    if (reachable) reachable.tabIndex = 0;
    if (anew && focused && this.nodes.has(this.current)) this.nodes.get(this.current).focus({ preventScroll: true });
  }

  tile(row, position) {
    const thumb = make("span", { className: "thumb" });
    source.paint(thumb, row);
    const parts = make("span", { className: "parts" }, make("b", {}, make("bdi", {}, row.file)));
    for (const [name, value] of listParts(row)) parts.append(make("span", {}, name), make("span", {}, value));
    const node = make("button", { type: "button", className: ["face", row.status, row.verdict].join(" "), tabIndex: -1 },
      thumb, parts, make("span", { className: "badge" }, show(row.score, 3)));
    node.setAttribute("aria-label", describe(row));
    node.setAttribute("aria-haspopup", "dialog");
    node.dataset.index = row.index;
    node.dataset.position = position;
    return node;
  }

  move(event) {
    const jumps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, Home: -Infinity, End: Infinity,
      PageDown: this.columns * 4, PageUp: -this.columns * 4,
    };
    if (!(event.key in jumps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.focus(Math.min(this.order.length - 1, Math.max(0, this.current + jumps[event.key])));
  }

  /** Bring a face into sight and give it the keyboard. */
  focus(position) {
    if (position < 0 || position >= this.order.length) return;
    const old = this.nodes.get(this.current);
    if (old) old.tabIndex = -1;
    this.current = position;
    const top = Math.floor(position / this.columns) * this.step;
    if (top < this.window.scrollTop) this.window.scrollTop = top;
    if (top + this.step > this.window.scrollTop + this.window.clientHeight) this.window.scrollTop = top + this.step - this.window.clientHeight + 8;
    this.draw();
    const node = this.nodes.get(position);
    node.tabIndex = 0;
    node.focus({ preventScroll: true });
  }

  position(index) {
    return this.order.findIndex((row) => row.index === index);
  }
}

/** The window that explains one face. */
class Explainer {
  constructor(dialog) {
    this.dialog = dialog;
    this.content = dialog.querySelector(".content");
    this.title = dialog.querySelector("h2");
    this.list = [];
    this.at = 0;
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    for (const button of dialog.querySelectorAll("[data-move]")) {
      button.addEventListener("click", () => this.step(Number(button.dataset.move)));
    }
    dialog.addEventListener("keydown", (event) => {
      if (event.target.closest(".strip") || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "ArrowRight") this.step(1);
      if (event.key === "ArrowLeft") this.step(-1);
    });
    dialog.addEventListener("close", () => { if (this.opener && this.opener.isConnected) this.opener.focus(); });
  }

  get row() { return this.list[this.at]; }

  /** Open at a place of a list of faces; focus returns to the opener. */
  open(list, at, opener) {
    this.list = list;
    this.at = at;
    this.opener = opener;
    if (!this.dialog.open) this.dialog.showModal();
    return this.draw();
  }

  step(by) {
    const next = this.at + by;
    if (next < 0 || next >= this.list.length) return;
    this.at = next;
    this.draw();
  }

  async draw() {
    const row = this.row;
    this.title.replaceChildren(make("bdi", {}, row.file), " · score " + show(row.score, 4));
    this.dialog.querySelector('[data-move="-1"]').disabled = this.at === 0;
    this.dialog.querySelector('[data-move="1"]').disabled = this.at === this.list.length - 1;
    const body = await source.explain(row, this.content);
    if (this.row !== row) return; // moved on meanwhile
    this.content.replaceChildren(body);
    this.dialog.scrollTop = 0;
    this.dialog.dispatchEvent(new CustomEvent("explained", { detail: row }));
  }
}

const page = { gallery: null, explainer: null };

/** Start once the source has its faces. */
function startFaces() {
  const dialog = document.getElementById("face");
  if (dialog) page.explainer = new Explainer(dialog);
  const root = document.getElementById("gallery");
  if (root) page.gallery = new Gallery(root);
  document.addEventListener("click", (event) => {
    const node = event.target.closest("button.face");
    if (!node || !page.explainer) return;
    const index = Number(node.dataset.index);
    const group = node.closest("[data-group], .pair");
    const list = group
      ? Array.from(group.querySelectorAll("button.face"), (one) => source.byIndex.get(Number(one.dataset.index))).filter(Boolean)
      : page.gallery.order;
    const at = list.findIndex((row) => row.index === index);
    if (at >= 0) page.explainer.open(list, at, node);
  });
}

const carried = readData("faces");
if (carried) { source.load(carried); startFaces(); }
