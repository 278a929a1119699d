// Draw each picture again, so that it answers to the pointer; the still one stands until that is done.
const unpacked = (columns) => {
  const names = Object.keys(columns);
  const value = (column, row) => (column.codes ? column.labels[column.codes[row]] : column[row]);
  const length = Math.max(0, ...names.map((name) => (columns[name].codes ?? columns[name]).length));
  const record = (_, row) => Object.fromEntries(names.map((name) => [name, value(columns[name], row)]));
  return Array.from({ length }, record);
};
const charts = JSON.parse(document.getElementById("charts").textContent);
const drawn = new Map(); // figure to its picture and the columns of its legend
// a name takes up to 250 pixels, and the legend begins where the axis' numbers end
const legendColumns = (figure) => Math.max(1, Math.floor((figure.clientWidth - 70) / 250));
const draw = async (figure) => {
  const columns = legendColumns(figure);
  const { spec, data } = charts[figure.dataset.chart];
  spec.datasets = Object.fromEntries(Object.keys(data).map((name) => [name, unpacked(data[name])]));
  spec.config.legend.columns = columns;
  spec.config.legend.labelLimit = Math.min(220, figure.clientWidth - 160);
  const place = document.createElement("div");
  figure.append(place);
  try {
    const picture = await window.vegaEmbed(place, spec, { mode: "vega-lite", ast: true, actions: false });
    drawn.get(figure)?.picture.finalize();
    drawn.set(figure, { picture, columns });
    for (const earlier of [...figure.children]) if (earlier !== place) earlier.remove();
  } catch (error) {
    place.remove();
    console.error(error);
  }
};
const figures = document.querySelectorAll("figure[data-chart]");
for (const figure of figures) await draw(figure);
document.documentElement.dataset.ready = "yes";
// A page that got narrower, as a phone that is turned, has room for fewer names beside each other.
window.addEventListener("resize", async () => {
  for (const figure of figures) if (drawn.get(figure)?.columns !== legendColumns(figure)) await draw(figure);
});
