// Beside a page that `lstm-edge watch --page` serves: puts what is new in its place.
const live = document.getElementById("live");
let version = live.dataset.version;
function put(page) {
  const main = document.getElementById("main");
  const range = main?.layout?.xaxis?.autorange === false ? main.layout.xaxis.range : null;
  const log = document.querySelector('[data-kind="log"][aria-pressed="true"]');
  const height = window.scrollY;
  const script = page.querySelector("body > script:not(#live)");
  document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.purge(plot));
  document.body.replaceChildren(...page.body.children);
  const again = document.createElement("script"); // one that was parsed apart never runs
  again.textContent = script.textContent;
  document.body.append(again);
  if (log) document.querySelector('[data-kind="log"]').click();
  if (range) Plotly.relayout("main", { "xaxis.range": range });
  window.scrollTo(0, height);
}
async function look() {
  try {
    const now = await (await fetch("/version")).text();
    if (now !== version) {
      if (typeof Plotly === "undefined") return location.reload(); // there was no page yet
      const answer = await fetch("/");
      if (answer.ok) { // the store may just be locked
        put(new DOMParser().parseFromString(await answer.text(), "text/html"));
        version = now;
      }
    }
  } catch {
    document.querySelector(".run").append(" · the watch has ended");
    return;
  }
  setTimeout(look, 2000);
}
setTimeout(look, 2000);
