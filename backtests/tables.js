"use strict";
// Sort a table by the column whose heading is clicked; again: the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.ariaSort !== "descending";
      const text = (row) => row.cells[head.cellIndex].textContent.trim();
      const number = (row) => text(row).replace(/^< /, ""); // of p-values too small to be told apart
      const value = (row) => parseFloat(row.cells[head.cellIndex].dataset.value ?? number(row));
      const compare = (left, right) => {
        const [a, b] = [value(left), value(right)];
        if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b) || text(left).localeCompare(text(right));
        return a === b ? 0 : a < b === down ? 1 : -1;
      };
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = down ? "descending" : "ascending";
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  }
}
