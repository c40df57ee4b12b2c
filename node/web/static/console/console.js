// What the pages cannot do without a script: the theme switch, keyboard shortcuts, and what a
// browser's own forms leave open. Every page works without it.
"use strict";

const dark = () =>
  document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;

const name_theme = () => {
  for (const button of document.querySelectorAll("[data-act=theme]")) {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
    button.hidden = false;
  }
};

const switch_theme = () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Kept for this page only.
  }
  name_theme();
};

const places = { o: "", s: "/studies", f: "/failures", b: "/bundles", m: "/monitoring",
  a: "/audit", c: "/settings" };
let after_g = 0;

const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

const step = (forward) => {
  const rows = [...document.querySelectorAll("tr[data-row] a:first-of-type")];
  const links = rows.filter((link, index) => index === 0 ||
    link.closest("tr") !== rows[index - 1].closest("tr"));
  if (!links.length) return;
  const here = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = here < 0 ? (forward ? 0 : links.length - 1) : here + (forward ? 1 : -1);
  links[Math.min(Math.max(next, 0), links.length - 1)].focus();
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const home = document.body.dataset.home;
  if (Date.now() - after_g < 1500 && event.key in places) {
    after_g = 0;
    location.assign(home + places[event.key]);
    return;
  }
  after_g = 0;
  if (event.key === "g") after_g = Date.now();
  else if (event.key === "/") {
    const field = document.querySelector("[data-first-field]");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select?.();
    }
  } else if (event.key === "j" || event.key === "k") step(event.key === "j");
  else if (event.key === "i") document.querySelector("[data-outline]")?.click();
  else if (event.key === "t") switch_theme();
  else if (event.key === "?") document.getElementById("shortcuts")?.showModal();
});

document.addEventListener("click", (event) => {
  const act = event.target.closest("[data-act]")?.dataset.act;
  if (act === "theme") switch_theme();
  if (act === "shortcuts") document.getElementById("shortcuts")?.showModal();
});

// A form is sent once: a second click on a slow line would retry a job twice.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.dataset.again !== undefined) return;
  for (const button of event.target.querySelectorAll("button[type=submit]")) {
    setTimeout(() => { button.disabled = true; });
  }
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[type=submit]")) button.disabled = false;
});

document.addEventListener("DOMContentLoaded", name_theme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name_theme);
