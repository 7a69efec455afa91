// The month's figures while its page is open: asks every second whether a call was booked, and moves what did move.
// Rows stay where they are, open or folded, with the focus in them; the panels beside the tree follow a little later.
"use strict";

(() => {
  const POLL_MS = 1000;
  const SLOWEST_POLL_MS = 10000;
  const REST = 50; // the whole page is read again after so many times as long as the last reading took,
  const [LEAST_REST_MS, MOST_REST_MS] = [5000, 60000]; // but neither sooner nor later than this
  const GAIN_MS = 5000;
  const KEPT = new Set(["hidden", "open", "aria-expanded", "data-gain"]); // what the reader, or this script, has changed

  const place = document.querySelector("[data-moves]");
  if (!place) return;
  let after = place.dataset.after;
  let failures = 0;
  let timer = 0;
  let isAsking = false;
  let isOver = false;
  let restMs = LEAST_REST_MS;
  let readAt = Date.now();
  let anewAt = Infinity;

  // --- putting a fresh element's content into the one that is there ---

  function copyAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) {
      if (!KEPT.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.dataset.chart) {
      for (const { name, value } of fresh.attributes) old.setAttribute(name, value); // it has others of its own
      old.dispatchEvent(new Event("sekisho:chart"));
      return;
    }
    copyAttributes(old, fresh);
    const [before, now] = [[...old.childNodes], [...fresh.childNodes]];
    if (before.length === now.length && before.every((node, i) => node.nodeName === now[i].nodeName)) {
      before.forEach((node, i) => morph(node, now[i]));
    } else if (!old.contains(document.activeElement)) {
      old.replaceChildren(...now);
    }
  }

  const parsed = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };
  const morphInto = (selector, html) => {
    const old = document.querySelector(selector);
    if (!old) return;
    const fresh = old.cloneNode(false);
    fresh.append(parsed(html));
    morph(old, fresh);
    if ("warning" in old.dataset) old.hidden = !old.firstElementChild;
  };

  // --- the tree ---

  const rowNamed = (name) => document.querySelector(`tr[data-row="${CSS.escape(name)}"]`);

  function say(row, nanousd) {
    const tenThousandths = (nanousd + 50000n) / 100000n;
    const cell = row.querySelector(".barcell");
    const [whole, part] = [tenThousandths / 10000n, tenThousandths % 10000n];
    cell.dataset.gain = tenThousandths ? `+$${whole.toLocaleString("en-US")}.${String(part).padStart(4, "0")}` : "+<$0.0001";
    clearTimeout(cell.gainTimer);
    cell.gainTimer = setTimeout(() => delete cell.dataset.gain, GAIN_MS);
  }

  function updateRow(fresh) {
    const old = rowNamed(fresh.dataset.row);
    if (!old) return;
    const gain = BigInt(fresh.dataset.nanousd) - BigInt(old.dataset.nanousd);
    copyAttributes(old, fresh);
    [...fresh.cells].forEach((cell, number) => morph(old.cells[number], cell));
    if (gain > 0n) say(old, gain);
  }

  // Whether a row of this level, standing behind `row`, is folded away: its parent says so.
  function isFolded(row, level) {
    let above = row;
    while (above && Number(above.dataset.level) >= level) above = above.previousElementSibling;
    return Boolean(above) && (above.hidden || above.querySelector('[data-fold][aria-expanded="false"]') !== null);
  }

  function mergeRows(old, fresh) {
    const rows = [...fresh.rows];
    const names = new Set(rows.map((row) => row.dataset.row));
    for (const row of [...old.rows]) if (!names.has(row.dataset.row)) row.remove();
    let last = null;
    for (const row of rows) {
      const known = rowNamed(row.dataset.row);
      if (known) {
        updateRow(row);
      } else {
        if (last) last.after(row);
        else old.prepend(row);
        row.hidden = isFolded(row.previousElementSibling, Number(row.dataset.level));
      }
      last = known ?? row;
    }
  }

  // --- asking ---

  function take(answer) {
    after = answer.after;
    if (answer.rows !== undefined) {
      for (const row of parsed(answer.rows).querySelectorAll("tr")) updateRow(row);
      morphInto("[data-month-band]", answer.band);
      morphInto("[data-warning]", answer.warning);
      for (const [id, text] of Object.entries(answer.budgets)) {
        for (const cell of document.querySelectorAll(`[data-budget="${CSS.escape(id)}"]`)) cell.textContent = text;
      }
      const clock = document.querySelector("[data-clock]");
      if (clock) clock.textContent = answer.clock;
    }
    if (answer.whole) anewAt = 0;
    else if (answer.rows !== undefined) anewAt = Math.min(anewAt, readAt + restMs);
  }

  async function poll() {
    const address = new URL(place.dataset.moves, location.href);
    address.searchParams.set("after", after);
    const answer = await read(address, { accept: "application/json" });
    if (answer.status !== 204) take(await answer.json());
  }

  async function read(address, headers) {
    const answer = await fetch(address, {
      headers,
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(30000),
    });
    isOver = answer.status === 401 || answer.status === 404; // signed out, or another role: the next page says so
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  }

  async function ask() {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    let delay = POLL_MS;
    try {
      if (Date.now() >= anewAt) await readAnew();
      else await poll();
      failures = 0;
    } catch {
      failures += 1;
      delay = Math.min(SLOWEST_POLL_MS, POLL_MS * 2 ** failures);
    } finally {
      isAsking = false;
    }
    if (!document.hidden && !isOver) timer = setTimeout(ask, delay);
  }

  // --- the whole page, for what is dear to read ---

  async function readAnew() {
    const began = Date.now();
    anewAt = Infinity;
    const answer = await read(location.href, { "x-sekisho-again": "1" });
    showAnew(new DOMParser().parseFromString(await answer.text(), "text/html"));
    readAt = Date.now();
    restMs = Math.min(MOST_REST_MS, Math.max(LEAST_REST_MS, REST * (readAt - began)));
  }

  function showAnew(page) {
    const parts = [...page.querySelectorAll("[data-part]")];
    if (parts.some((fresh) => !document.querySelector(`[data-part="${fresh.dataset.part}"]`))) {
      location.reload(); // there was nothing to show until now
      return;
    }
    for (const fresh of parts) morph(document.querySelector(`[data-part="${fresh.dataset.part}"]`), fresh);
    const body = page.querySelector("[data-tree] tbody");
    const old = document.querySelector("[data-tree] tbody");
    if (body && old) mergeRows(old, body);
    for (const selector of ["[data-month-band]", "[data-warning]"]) {
      const fresh = page.querySelector(selector);
      if (fresh) morphInto(selector, fresh.innerHTML);
    }
    after = page.querySelector("[data-moves]")?.dataset.after ?? after;
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });
  timer = setTimeout(ask, POLL_MS);
})();
