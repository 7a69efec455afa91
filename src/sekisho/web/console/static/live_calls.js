// The live list: asks for changes twice a second, puts new calls on top, updates rows in place.
// The list stands still while it is hovered, focused, opened or held; what comes meanwhile is counted.
"use strict";

(() => {
  const POLL_MS = 500;
  const BAND_EVERY = 4; // polls between two readings of the figures above the list
  const SLOWEST_POLL_MS = 10000;
  const ROWS_KEPT = 200;
  const SAY_EVERY_MS = 10000;

  const find = (name) => document.querySelector(`[data-${name}]`);
  const live = find("live");
  const table = find("table");
  const body = table.tBodies[0];
  const empty = find("empty");
  const band = find("band");
  const news = find("news");
  const hold = find("hold");
  const stale = find("stale");
  const isHead = live.dataset.head === "yes";

  let after = Number(live.dataset.after);
  let isHeld = false;
  let isHovered = false;
  let polls = 0;
  let failures = 0;
  let lastClock = "";
  let clockOffsetMs = 0;
  let timer = 0;
  let isAsking = false;
  let arrived = 0;
  let saidAt = 0;
  const waiting = new Map(); // call id -> row, for changes that may not be shown yet

  const rowOf = (id) => body.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
  const detailOf = (id) => body.querySelector(`tr[data-detail="${CSS.escape(id)}"]`);
  const rows = () => [...body.querySelectorAll("tr[data-id]")];
  const mayMove = () =>
    !isHeld && !isHovered && !body.contains(document.activeElement) && !body.querySelector("tr[data-detail]");
  const toRow = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.querySelector("tr");
  };

  // --- showing changes ---

  function belongsHere(id) {
    if (!isHead) return false;
    const shown = rows();
    return shown.length < Number(live.dataset.rows) || id > shown[shown.length - 1].dataset.id;
  }

  function update(old, fresh) {
    // The first cell holds the link, which may have the focus; its content never changes.
    old.className = fresh.className;
    [...fresh.cells].slice(1).forEach((cell, number) => old.cells[number + 1].replaceWith(cell));
    for (const seal of old.querySelectorAll(".seal")) seal.classList.add("turned");
    const id = old.dataset.id;
    if (detailOf(id)) {
      old.classList.add("sel");
      open(id).catch(() => undefined); // the open detail stays as it was; the list says when it cannot be read
    }
  }

  function insert(fresh) {
    const next = rows().find((row) => row.dataset.id < fresh.dataset.id);
    fresh.classList.add("new");
    body.insertBefore(fresh, next ?? null);
    table.hidden = false;
    empty.hidden = true;
    arrived += 1;
  }

  function trim() {
    const shown = rows();
    for (const row of shown.slice(ROWS_KEPT)) row.remove();
    const older = find("older");
    if (older && shown.length > ROWS_KEPT) {
      const address = new URL(older.href);
      address.searchParams.set("before", shown[ROWS_KEPT - 1].dataset.id);
      older.href = address;
    }
  }

  function show(id, html) {
    const old = rowOf(id);
    if (html === null) {
      waiting.delete(id);
      if (old && !detailOf(id)) old.remove();
    } else if (isHeld) {
      if (old || belongsHere(id)) waiting.set(id, html);
    } else if (old) {
      update(old, toRow(html));
    } else if (belongsHere(id)) {
      if (mayMove()) insert(toRow(html));
      else waiting.set(id, html);
    }
  }

  function flush() {
    const ready = [...waiting].sort(([a], [b]) => (a < b ? -1 : 1));
    waiting.clear();
    for (const [id, html] of ready) {
      const old = rowOf(id);
      if (old) update(old, toRow(html));
      else if (belongsHere(id)) insert(toRow(html));
    }
    trim();
    count();
  }

  function settle() {
    if (mayMove() && waiting.size) flush();
    else count();
  }

  function count() {
    const fresh = [...waiting.keys()].filter((id) => !rowOf(id)).length;
    news.hidden = fresh === 0;
    if (fresh) news.textContent = (fresh === 1 ? news.dataset.one : news.dataset.other).replace("{n}", String(fresh));
  }

  function say() {
    const status = find("status");
    if (!arrived || Date.now() - saidAt < SAY_EVERY_MS) return;
    const text = arrived === 1 ? live.dataset.arrivedOne : live.dataset.arrivedOther;
    status.textContent = text.replace("{n}", String(arrived));
    arrived = 0;
    saidAt = Date.now();
  }

  // --- asking ---

  async function ask() {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    let delay = POLL_MS;
    try {
      const address = new URL("/console/calls/changes", location.href);
      for (const name of ["status", "team", "agent", "model", "key"]) {
        const value = new URLSearchParams(location.search).get(name);
        if (value) address.searchParams.set(name, value);
      }
      address.searchParams.set("after", String(after));
      if (polls % BAND_EVERY === 0 && !isHeld) address.searchParams.set("band", "1");
      const answer = await fetch(address, {
        headers: { accept: "application/json" },
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(10000),
      });
      if (answer.status === 401) {
        find("signed-out").hidden = false;
        stale.hidden = true;
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      take(await answer.json());
      polls += 1;
      if (failures) stale.hidden = true;
      failures = 0;
    } catch {
      failures += 1;
      delay = Math.min(SLOWEST_POLL_MS, POLL_MS * 2 ** failures);
      if (failures > 1) {
        stale.querySelector("span").textContent = stale.dataset.stale.replace("{time}", lastClock || "—");
        stale.hidden = false;
      }
    } finally {
      isAsking = false;
    }
    if (!document.hidden) timer = setTimeout(ask, delay);
  }

  function take(answer) {
    for (const { id, html } of answer.rows) show(id, html);
    if (answer.rows.length) {
      trim();
      settle();
    }
    if (answer.band !== null) band.innerHTML = answer.band;
    after = answer.after;
    lastClock = answer.clock;
    clockOffsetMs = answer.now_ms - Date.now();
    say();
    if (answer.more) queueMicrotask(ask);
  }

  function tick() {
    for (const cell of body.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, (Date.now() + clockOffsetMs - Number(cell.dataset.since)) / 1000);
      cell.textContent =
        seconds < 60
          ? live.dataset.seconds.replace("{n}", seconds.toFixed(1))
          : live.dataset.minutes
              .replace("{m}", String(Math.floor(seconds / 60)))
              .replace("{s}", String(Math.floor(seconds % 60)).padStart(2, "0"));
    }
  }

  // --- opening a row ---

  async function open(id) {
    const row = rowOf(id);
    const answer = await fetch(`/console/calls/${id}/detail`, { cache: "no-store", redirect: "error" });
    if (!answer.ok || !row.isConnected) return;
    const fresh = toRow(await answer.text());
    const old = detailOf(id);
    if (old) old.replaceWith(fresh);
    else row.after(fresh);
    row.classList.add("sel");
    row.querySelector("a").setAttribute("aria-expanded", "true");
  }

  function close(id) {
    detailOf(id)?.remove();
    const row = rowOf(id);
    row.classList.remove("sel");
    row.querySelector("a").setAttribute("aria-expanded", "false");
    settle();
  }

  function toggle(id) {
    if (detailOf(id)) close(id);
    else open(id).catch(() => location.assign(`/console/calls/${id}`)); // signed out, or gone: the page says so
  }

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-id]");
    if (!row || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (!event.target.closest("a") && String(getSelection())) return; // someone is marking text
    event.preventDefault();
    toggle(row.dataset.id);
  });

  // --- standing still ---

  body.addEventListener("mouseenter", () => (isHovered = true));
  body.addEventListener("mouseleave", () => {
    isHovered = false;
    settle();
  });
  body.addEventListener("focusout", () => setTimeout(settle));
  news.addEventListener("click", flush);
  hold.addEventListener("click", () => {
    isHeld = !isHeld;
    hold.setAttribute("aria-pressed", String(isHeld));
    hold.querySelector("span").textContent = isHeld ? hold.dataset.on : hold.dataset.off;
    if (!isHeld) flush();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });

  // --- keyboard ---

  const keys = find("keys");
  const keysSwitch = find("keys-switch");
  const showKeys = () => (keysSwitch.textContent = areKeysOn() ? keysSwitch.dataset.off : keysSwitch.dataset.on);
  keysSwitch.addEventListener("click", () => {
    localStorage.setItem("sekisho.keys", areKeysOn() ? "off" : "on");
    showKeys();
  });

  function move(step) {
    const links = rows().map((row) => row.querySelector("a"));
    const now = links.indexOf(document.activeElement);
    const next = now < 0 ? 0 : Math.min(links.length - 1, Math.max(0, now + step));
    links[next]?.focus();
  }

  function escape() {
    const row = document.activeElement.closest("tr[data-id], tr[data-detail]");
    const id = row?.dataset.id ?? row?.dataset.detail ?? body.querySelector("tr[data-detail]")?.dataset.detail;
    if (id && detailOf(id)) {
      close(id);
      rowOf(id).querySelector("a").focus();
    } else {
      document.activeElement.blur();
    }
  }

  const ACTIONS = {
    j: () => move(1),
    k: () => move(-1),
    p: () => hold.click(),
    "?": () => keys.scrollIntoView(),
    Escape: escape,
  };

  document.addEventListener("keydown", (event) => {
    const action = ACTIONS[event.key];
    if (!action || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select") && event.key !== "Escape") return;
    if (event.key !== "Escape" && !areKeysOn()) return;
    event.preventDefault();
    action();
  });

  hold.hidden = !isHead;
  keys.hidden = false;
  showKeys();
  for (const row of rows()) row.querySelector("a").setAttribute("aria-expanded", "false");
  setInterval(tick, 1000);
  ask();
})();
