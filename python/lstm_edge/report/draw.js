const dark = window.matchMedia("(prefers-color-scheme: dark)");
function draw(only) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
  for (const [id, figure] of Object.entries(figures)) {
    if (typeof only === "string" && id !== only) continue;
    const layout = structuredClone(figure.layout);
    delete layout.template;
    Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif" } });
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis/.test(key)) Object.assign(layout[key], { gridcolor: line, zerolinecolor: line, linecolor: line });
    }
    for (const trace of figure.data) {
      if (trace.name !== "samples") continue;
      trace.colorscale = [[0, ink + "00"], [1, ink]];
      if (trace.marker) trace.marker.color = ink;
    }
    const narrow = window.innerWidth < 600; // a phone has no room for names in the plot
    if (narrow) layout.annotations = [];
    layout.modebar = { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink };
    layout.hoverlabel = { bgcolor: style.getPropertyValue("--paper").trim(), font: { color: ink } };
    Plotly.react(id, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: !narrow,
      showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "sendDataToCloud"] });
  }
}
dark.onchange = draw;
