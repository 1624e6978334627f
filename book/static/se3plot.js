// Draws every <div class="se3plot"> (written by se3ref/plotting/interactive.py) in the colours and width of the page.

const INK = { light: "#222832", dark: "#ced6dd" }, LINE = { light: "#d0d5da", dark: "#4c5563" };
const NARROW = matchMedia("(max-width: 600px)");

// The figure's own layout with what it left open: the page's colours under it, margins, and panels stacked on a phone.
function dressed(layout) {
  const theme = document.documentElement.dataset.theme === "dark" ? "dark" : "light";
  const axis = { color: INK[theme], gridcolor: LINE[theme], zerolinecolor: LINE[theme], linecolor: LINE[theme] };
  const clear = "rgba(0,0,0,0)", control = { font: { color: INK[theme] }, tickcolor: INK[theme], bgcolor: LINE[theme],
                                             bordercolor: LINE[theme] };
  const out = { margin: { l: 40, r: 20, t: 30, b: 40 }, paper_bgcolor: clear, plot_bgcolor: clear,
                ...structuredClone(layout), autosize: true,
                font: { ...layout.font, color: INK[theme] } };
  delete out.width;
  for (const [key, part] of Object.entries(out)) {
    if (/^[xy]axis\d*$/.test(key)) out[key] = { ...axis, ...part };
    if (/^scene\d*$/.test(key)) {
      out[key] = { ...part };
      for (const name of ["xaxis", "yaxis", "zaxis"])
        out[key][name] = { ...axis, showbackground: false, showspikes: false, ...part[name] };
    }
    if (key === "sliders" || key === "updatemenus") out[key] = part.map(each => ({ ...control, ...each }));
  }
  if (NARROW.matches) stack(out);
  return out;
}

// A row of panels becomes a column: each panel gets the full width and its share of a greater height.
function stack(layout) {
  const panels = Object.keys(layout).filter(key => /^(scene|xaxis)\d*$/.test(key)).map(key => {
    const upright = key.replace("xaxis", "yaxis"), flat = key.startsWith("xaxis");
    const place = flat ? layout[key].domain : layout[key].domain?.x;
    return { start: place?.[0] ?? 0, end: place?.[1] ?? 1, set(x, y) {
      if (!flat) layout[key].domain = { x, y };
      else [layout[key].domain, layout[upright]] = [x, { ...layout[upright], domain: y }];
    } };
  }).sort((a, b) => a.start - b.start);
  if (panels.length < 2 || panels.some((panel, k) => k > 0 && panel.start < panels[k - 1].end)) return;
  const share = 1 / panels.length, gap = 0.15 * share;
  layout.height = (layout.height || 450) * panels.length * 0.8;
  panels.forEach((panel, k) => {
    const top = 1 - k * share;
    panel.set([0, 1], [top - share + gap, top - gap / 2]);
    for (const title of layout.annotations || [])
      if (title.xref === "paper" && !title.moved && title.x >= panel.start && title.x <= panel.end)
        Object.assign(title, { x: 0.5, xanchor: "center", y: top - gap / 2, moved: true });
  });
}

// What the reader has changed by hand: the turn of each scene, the place of each slider.
function kept(layout, shown) {
  for (const key of Object.keys(layout).filter(key => /^scene\d*$/.test(key))) layout[key].camera = shown[key].camera;
  layout.sliders?.forEach((slider, k) => { slider.active = shown.sliders[k].active; });
  return layout;
}

function draw(div) {
  const figure = JSON.parse(div.querySelector("script").textContent);
  const canvas = document.createElement("div");
  div.replaceChildren(canvas);
  const layout = () => {
    const fresh = dressed(figure.layout);
    canvas.style.height = `${fresh.height || 450}px`;
    return fresh;
  };
  const config = { responsive: true, displayModeBar: false, scrollZoom: false };     // the wheel scrolls the page
  const still = { highlight: false }, plain = { hoverinfo: "skip", contours: { x: still, y: still, z: still } };
  const data = figure.data.map(trace => ({ ...plain, ...trace }));                   // no cross-hairs under the hand
  Plotly.newPlot(canvas, { data, layout: layout(), frames: figure.frames, config });
  const again = () => Plotly.relayout(canvas, kept(layout(), canvas.layout));
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  NARROW.addEventListener("change", again);
}

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".se3plot").forEach(draw));
