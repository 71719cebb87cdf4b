// The keyboard: left and right go to another question, up and down to another sample, / searches, ? helps.
"use strict";

const samples = [...document.querySelectorAll(".sample")];
const help = document.getElementById("help");
const search = document.getElementById("search");
if (location.hash === "#search") search?.focus();

function follow(rel) {
  document.querySelector(`a[rel~="${rel}"]`)?.click();
}

function step(by) {
  const at = samples.indexOf(document.activeElement);
  const next = samples[Math.min(Math.max(at + by, 0), samples.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "start" });
}

const actions = {
  ArrowLeft: () => follow("prev"),
  ArrowRight: () => follow("next"),
  "/": () => search ? search.focus() : follow("search"),
  "?": () => (help.open ? help.close() : help.showModal()),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey;
  const action = samples.length && event.key === "ArrowDown" ? () => step(1)
    : samples.length && event.key === "ArrowUp" ? () => step(-1) : actions[event.key];
  if (isTyping || !action) return;
  event.preventDefault();
  action();
});

document.getElementById("help-link").addEventListener("click", (event) => {
  event.preventDefault();
  help.showModal();
});
