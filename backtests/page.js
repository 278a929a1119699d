"use strict";
// Sort a table by the column whose heading is clicked; again: the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.ariaSort !== "descending";
      const key = (row) => row.cells[head.cellIndex].textContent.trim();
      const compare = (left, right) => {
        const [a, b] = [parseFloat(key(left)), parseFloat(key(right))];
        if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b) || key(left).localeCompare(key(right));
        return down ? b - a : a - b;
      };
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = down ? "descending" : "ascending";
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  }
}

// Draw each picture again, so that it answers to the pointer; the still one stands until that is done.
const unpacked = (columns) => {
  const names = Object.keys(columns);
  const value = (column, row) => (column.codes ? column.labels[column.codes[row]] : column[row]);
  const length = Math.max(0, ...names.map((name) => (columns[name].codes ?? columns[name]).length));
  const record = (_, row) => Object.fromEntries(names.map((name) => [name, value(columns[name], row)]));
  return Array.from({ length }, record);
};
const charts = JSON.parse(document.getElementById("charts").textContent);
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const { spec, data } = charts[figure.dataset.chart];
  spec.datasets = Object.fromEntries(Object.keys(data).map((name) => [name, unpacked(data[name])]));
  spec.config.legend.columns = Math.max(1, Math.floor(figure.clientWidth / 210));
  const place = document.createElement("div");
  figure.append(place);
  try {
    await window.vegaEmbed(place, spec, { mode: "vega-lite", ast: true, actions: false });
    figure.querySelector("img").remove();
  } catch (error) {
    place.remove();
    console.error(error);
  }
}
document.documentElement.dataset.ready = "yes";
