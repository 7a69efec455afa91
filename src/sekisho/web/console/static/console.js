// Every page: the time zone, copy buttons, menus that close when they are left, dialogs, toasts, and "/" for the search.
"use strict";

// The server writes times in the reader's zone from the next page on; the first page is the one that lets people in.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `sekisho_zone=${encodeURIComponent(zone)}; path=/console; max-age=31536000; samesite=strict${secure}`;
}

function showCopyButtons(root) {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

async function copyBeside(button) {
  const source = button.parentElement.querySelector("[data-copy-text]");
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.querySelector("span").textContent = button.dataset.done;
  } catch {
    getSelection().selectAllChildren(source); // no clipboard without HTTPS: leave it selected
  }
}

// --- dialogs and toasts ---

let opener = null;

function openDialog(id, from) {
  const dialog = document.getElementById(id);
  if (!dialog) return;
  opener = from;
  dialog.showModal();
  dialog.addEventListener("close", () => opener?.focus(), { once: true });
}

function hideLater(toast) {
  let timer = setTimeout(() => toast.remove(), 6000);
  toast.addEventListener("mouseenter", () => clearTimeout(timer));
  toast.addEventListener("focusin", () => clearTimeout(timer));
  toast.addEventListener("mouseleave", () => (timer = setTimeout(() => toast.remove(), 3000)));
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) copyBeside(copy);
  const opens = event.target.closest("[data-open]");
  if (opens) openDialog(opens.dataset.open, opens);
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  if (event.target.closest("[data-close-toast]")) event.target.closest("[data-toast]").remove();
});

document.addEventListener("sekisho:problem", (event) => {
  const place = event.target.querySelector("[data-problem]");
  if (place) place.textContent = event.detail.value;
});

// --- keyboard ---

const areKeysOn = () => localStorage.getItem("sekisho.keys") !== "off";

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && areKeysOn() && !event.altKey && !event.ctrlKey && !event.metaKey) {
    const find = document.querySelector(".find input");
    if (find && !event.target.closest("input, textarea, select")) {
      event.preventDefault();
      find.focus();
    }
  }
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopImmediatePropagation();
  }
});

showCopyButtons(document);
for (const toast of document.querySelectorAll("[data-toast]")) hideLater(toast);
document.addEventListener("htmx:afterSettle", () => {
  showCopyButtons(document);
  for (const link of document.querySelectorAll("[data-path]")) link.textContent = location.origin + link.dataset.path;
});
for (const dialog of document.querySelectorAll("dialog[data-show]")) dialog.showModal();

// --- trees: a row's children are the rows of a deeper level right behind it ---

function fold(button) {
  const row = button.closest("tr");
  const level = Number(row.dataset.level);
  const wasOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!wasOpen));
  let openTo = wasOpen ? level : level + 1; // the deepest level that is shown here
  for (let next = row.nextElementSibling; next && Number(next.dataset.level) > level; next = next.nextElementSibling) {
    const at = Number(next.dataset.level);
    if (at <= openTo) openTo = wasOpen ? level : at;
    next.hidden = at > openTo;
    if (!next.hidden && next.querySelector('[data-fold][aria-expanded="true"]')) openTo = at + 1;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fold]");
  if (button) fold(button);
});
