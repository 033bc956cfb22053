"use strict";
// What every page can do: read its data, sort and filter tables, slide over time, copy commands, mark the menu.

/** Return a JSON value that the page carries, or null. */
function readData(name) {
  const node = document.getElementById("data-" + name);
  return node ? JSON.parse(node.textContent) : null;
}

/** Return base64 text that the page carries as bytes. */
function readBlock(name) {
  const text = atob(document.getElementById("block-" + name).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Return an element with attributes, properties and children; strings become text, never HTML. */
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name in node && name !== "style" && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function readNumber(text) {
  const number = Number.parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? -Infinity : number;
}

function sortTable(table, column, button) {
  const head = table.tHead.rows[0].cells[column];
  const numeric = head.classList.contains("number");
  const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [row, row.cells[column].textContent]);
  const compare = numeric
    ? (a, b) => readNumber(a[1]) - readNumber(b[1])
    : (a, b) => a[1].localeCompare(b[1], undefined, { numeric: true });
  rows.sort(down ? (a, b) => compare(b, a) : compare);
  body.append(...rows.map((pair) => pair[0]));
  button.focus();
}

function filterTable(table, text, output) {
  const wanted = text.toLowerCase();
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
    shown += row.hidden ? 0 : 1;
  }
  output.textContent = wanted ? shown + " of " + table.tBodies[0].rows.length : "";
}

/** Give the tables, slides and copy buttons below a node their behaviour. */
function enliven(root) {
  for (const holder of root.querySelectorAll(".table")) {
    const table = holder.querySelector("table");
    if (holder.classList.contains("sortable")) {
      Array.from(table.tHead.rows[0].cells).forEach((cell, column) => {
        const button = make("button", { type: "button" }, cell.textContent);
        button.addEventListener("click", () => sortTable(table, column, button));
        cell.replaceChildren(button);
      });
    }
    const search = holder.querySelector(".search");
    if (search) {
      search.hidden = false;
      const field = search.querySelector("input");
      field.addEventListener("input", () => filterTable(table, field.value, search.querySelector("output")));
    }
  }
  for (const slides of root.querySelectorAll(".slides")) {
    const frames = Array.from(slides.querySelectorAll(".frames > figure"));
    const slider = slides.querySelector("input");
    slides.querySelector("label").hidden = frames.length < 2;
    slider.addEventListener("input", () => {
      frames.forEach((frame, position) => { frame.hidden = position !== Number(slider.value); });
      slider.setAttribute("aria-valuetext", frames[Number(slider.value)].querySelector("figcaption").textContent);
    });
  }
  for (const button of root.querySelectorAll(".copy")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentNode.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}

function followMenu() {
  const links = new Map(Array.from(document.querySelectorAll(".menu a"), (link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    let current = null;
    for (const [name, link] of links) {
      link.removeAttribute("aria-current");
      if (!current && seen.has(name)) current = link;
    }
    if (current) current.setAttribute("aria-current", "true");
  }, { rootMargin: "-15% 0px -60% 0px" });
  for (const section of document.querySelectorAll("main > section")) observer.observe(section);
}

enliven(document);
followMenu();
