// What a page does beyond links and forms: keys, ages, the banner, the wire. Labwire's own.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const isTyping = (target) => target instanceof HTMLElement
    && target.matches("input:not([type=radio]):not([type=checkbox]), textarea, select");

  // Ages: every <time> says how long ago it was, in words of the page's language.
  const language = document.documentElement.lang || "vi";
  const ago = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const age = (time) => {
    const seconds = Math.round((Date.parse(time.dateTime) - Date.now()) / 1000);
    if (Number.isNaN(seconds)) return "";
    const size = Math.abs(seconds);
    if (size < 60) return ago.format(seconds, "second");
    if (size < 3600) return ago.format(Math.trunc(seconds / 60), "minute");
    if (size < 86400) return ago.format(Math.trunc(seconds / 3600), "hour");
    return ago.format(Math.trunc(seconds / 86400), "day");
  };
  const tell = () => document.querySelectorAll("time:not(.exact)").forEach((time) => {
    if (!time.dataset.at) time.dataset.at = time.textContent;
    const at = time.dataset.at, old = age(time);
    let text = at;
    if (time.classList.contains("age")) text = old;
    if (time.classList.contains("both")) text = `${at} (${old})`;
    if (time.textContent !== text) time.textContent = text;
    time.title = text === at ? old : at;
  });

  // Rows: arrows, j and k go from one to the next; Enter opens its first link.
  const rows = () => [...document.querySelectorAll(".rows > li")];
  const focusOf = (row) => (row.tabIndex >= 0 ? row : row.querySelector("a, button") || row);
  const move = (by) => {
    const all = rows();
    if (all.length === 0) return false;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
    focusOf(next).focus();
    next.scrollIntoView({ block: "nearest" });
    return true;
  };

  const keys = byId("keys");
  const showKeys = () => { if (keys && !keys.open) keys.showModal(); };
  byId("show-keys")?.addEventListener("click", showKeys);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || keys?.open) return;
    if (event.key === "Escape" && isTyping(event.target)) { event.target.blur(); return; }
    if (isTyping(event.target)) return;
    const does = {
      "/": () => { byId("scan")?.focus(); return true; },
      "?": () => { showKeys(); return true; },
      ArrowDown: () => move(1), j: () => move(1),
      ArrowUp: () => move(-1), k: () => move(-1),
      p: () => { byId("pause")?.click(); return Boolean(byId("pause")); },
      f: () => { byId("filter")?.focus(); return Boolean(byId("filter")); },
      Enter: () => {
        if (!event.target.matches?.(".rows > li")) return false;
        const link = event.target.querySelector("a");
        link?.click();
        return Boolean(link);
      },
    }[event.key];
    if (does) { if (does()) event.preventDefault(); return; }
    const place = document.querySelector(`.menu a[data-key="${CSS.escape(event.key)}"]`);
    if (place) { event.preventDefault(); place.click(); }
  });

  // A scanner types fast and ends with Enter: what it types anywhere goes into the scan field.
  let typed = "", typedAt = 0;
  document.addEventListener("keypress", (event) => {
    if (isTyping(event.target) || event.ctrlKey || event.altKey || event.metaKey || keys?.open) return;
    const now = performance.now();
    if (now - typedAt > 50) typed = "";
    typedAt = now;
    if (event.key === "Enter") {
      if (typed.length >= 5) {
        event.preventDefault();
        window.location.assign(`/specimens?q=${encodeURIComponent(typed)}`);
      }
      typed = "";
    } else if (event.key.length === 1) {
      typed += event.key;
    }
  });

  // The stream of events: a banner while it is lost, a word when it is back.
  const lost = byId("lost"), back = byId("back");
  let wasLost = false;
  document.body.addEventListener("htmx:sseError", () => {
    if (lost) lost.hidden = false;
    if (back) back.hidden = true;
    wasLost = true;
  });
  let source = null;
  document.body.addEventListener("htmx:sseOpen", (event) => {
    // The session is over: the login says so better than a page that stands still.
    source = event.detail.source;
    source.addEventListener("ended", () => window.location.assign("/login"));
    if (lost) lost.hidden = true;
    if (wasLost && back) {
      back.hidden = false;
      setTimeout(() => { back.hidden = true; }, 5000);
    }
    wasLost = false;
  });

  // News replaces a part of the page: whoever stood in it stands there still.
  let focused = "", paused = false, missed = false, works = 0;
  document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
    focused = document.activeElement?.id || "";
    if (event.detail.type === "wire" && paused) { missed = true; event.preventDefault(); }
  });
  document.body.addEventListener("htmx:sseMessage", (event) => {
    if (focused && document.activeElement?.id !== focused) byId(focused)?.focus();
    tell();
    follow();
    // The first of these tells what the page has told already.
    if (event.detail.type === "work") works += 1;
    const more = byId("more");
    if (more) more.hidden = works < 2;
  });
  // A browser opens few connections to one place: a page that nobody looks at gives its own back.
  const HIDDEN_MS = 10000;
  let hiding = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) {
      hiding = setTimeout(() => source?.close(), HIDDEN_MS);
    } else if (source?.readyState === EventSource.CLOSED) {
      window.location.reload();
    }
  });
  window.addEventListener("load", () => {
    tell();
    setInterval(tell, 1000);
    follow();
  });

  // Paper.
  document.querySelectorAll("[data-print-button]").forEach((button) => {
    button.addEventListener("click", () => window.print());
  });
  if (document.querySelector("[data-print='now']")) window.addEventListener("load", () => window.print());

  // The wire.
  const list = byId("wire"), pause = byId("pause"), filter = byId("filter");
  const LINES_MAX = 600;
  const follow = () => {
    if (!list) return;
    while (list.children.length > LINES_MAX) list.firstElementChild.remove();
    sift();
    if (!paused) list.parentElement.scrollTop = list.parentElement.scrollHeight;
  };
  const sift = () => {
    const wanted = filter ? filter.value.toLowerCase() : "";
    for (const line of list.children) {
      line.hidden = wanted !== "" && !line.textContent.toLowerCase().includes(wanted);
    }
  };
  filter?.addEventListener("input", sift);
  pause?.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? pause.dataset.on : pause.dataset.off;
    // What came meanwhile is in the line's capture: the page shows it from there.
    if (!paused && missed) window.location.reload();
  });
})();
