"use strict";
// Adds to the page what needs a script: filters, sorting and copying. All text is set as text, never as HTML.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const tables = all(".scroll > table").map((table) => ({
  table,
  heads: all("thead th", table),
  rows: all("tbody tr", table),
  details: table.closest("details"),
}));
const plain = (text) => text.replaceAll("\u00a0", " ").trim();
const said = document.getElementById("said");

/** The whole text of a cell, also of money that is folded. */
const textOf = (cell) => plain((cell.querySelector(".amounts > span") ?? cell).textContent);

/** What a cell is found by: one or several values. */
const valuesOf = (cell) => (cell.dataset.values ?? cell.textContent).split("\n").flatMap((value) => [value, ...value.split(", ")]);

/** The first number of a cell; a share "under 0.1 %" comes before 0.1 %. */
const numberOf = (text) => {
  const found = text.match(/[-+]?[0-9][0-9,]*(\.[0-9]+)?/);
  return found ? Number(found[0].replaceAll(",", "")) - (text.startsWith("under") ? 1e-9 : 0) : -Infinity;
};

const button = (label, name, act) => {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  if (name) made.setAttribute("aria-label", name);
  made.addEventListener("click", act);
  return made;
};

// --- sort -------------------------------------------------------------------------------------------------------

const sort = ({ table, heads, rows }, place) => {
  const head = heads[place];
  const isNumber = head.classList.contains("right");
  const turns = isNumber ? ["descending", "ascending"] : ["ascending", "descending"];
  const turn = turns[turns.indexOf(head.getAttribute("aria-sort")) + 1];
  for (const other of heads) other.removeAttribute("aria-sort");
  const sorted = [...rows];
  if (turn) {
    head.setAttribute("aria-sort", turn);
    const sign = turn === "ascending" ? 1 : -1;
    const keys = new Map(rows.map((row) => [row, textOf(row.cells[place])]));
    const compare = isNumber
      ? (a, b) => numberOf(a) - numberOf(b) || 0
      : (a, b) => a.localeCompare(b, "en", { numeric: true });
    sorted.sort((a, b) => sign * compare(keys.get(a), keys.get(b)));
  }
  table.tBodies[0].append(...sorted);
};

for (const one of tables) {
  one.heads.forEach((head, place) => {
    head.replaceChildren(button(head.textContent || "measure", "", () => sort(one, place)));
  });
}

// --- copy as CSV ------------------------------------------------------------------------------------------------

/** A field of CSV: numbers plain, and what a spreadsheet would run as a formula made text. */
const field = (text) => {
  if (/^[-+]?[0-9][0-9,]*(\.[0-9]+)?$/.test(text)) return text.replaceAll(",", "");
  const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
};

const csvOf = ({ table, heads }) =>
  [heads, ...all("tbody tr:not([hidden])", table).map((row) => [...row.cells])]
    .map((cells) => `${cells.map((cell) => field(textOf(cell))).join(",")}\r\n`)
    .join("");

const copy = async (one, name) => {
  const text = csvOf(one);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  said.textContent = `${name}: ${text.trimEnd().split("\r\n").length - 1} rows copied as CSV.`;
};

for (const one of tables) {
  const scroll = one.table.parentElement;
  const name = scroll.getAttribute("aria-label");
  const line = document.createElement("p");
  line.className = "tools";
  one.state = document.createElement("span");
  line.append(button("Copy as CSV", `Copy as CSV: ${name}`, () => copy(one, name)), one.state);
  scroll.before(line);
}

// --- filter -----------------------------------------------------------------------------------------------------

const filters = all("#filters select");

const filter = () => {
  const chosen = filters.filter((select) => select.value).map((select) => [select.name, select.value.slice(1)]);
  for (const one of tables) {
    const columns = chosen.map(([by, value]) => [
      one.heads.flatMap((head, place) => (head.dataset.filters === by ? [place] : [])),
      value,
    ]);
    for (const row of one.rows) {
      row.hidden = columns.some(
        ([places, value]) => places.length && !places.some((place) => valuesOf(row.cells[place]).includes(value)),
      );
    }
    const deaf = chosen.filter((_, place) => !columns[place][0].length).map(([by]) => by);
    const left = one.rows.filter((row) => !row.hidden).length;
    const isWhole = deaf.length === chosen.length;
    const parts = isWhole ? [] : [`${left} of ${one.rows.length} rows`];
    if (deaf.length) parts.push(`not filtered by ${deaf.join(" and ")}`);
    one.state.textContent = parts.join(", ");
  }
  document.body.classList.toggle("filtered", chosen.length > 0);
  said.textContent = chosen.length ? `Tables show ${chosen.map((pair) => pair.join(" ")).join(", ")}.` : "Tables show all.";
};

for (const select of filters) {
  const values = new Set(
    tables.flatMap((one) =>
      one.heads.flatMap((head, place) =>
        head.dataset.filters === select.name
          ? one.rows.flatMap((row) => (row.cells[place].dataset.values ?? row.cells[place].textContent).split("\n"))
          : [],
      ),
    ),
  );
  values.delete("");
  for (const value of [...values].sort((a, b) => a.localeCompare(b, "en"))) select.add(new Option(value, `=${value}`));
  select.addEventListener("change", filter);
}
const form = document.getElementById("filters");
form.addEventListener("reset", () => setTimeout(filter));
form.hidden = filters.every((select) => select.length < 3);
