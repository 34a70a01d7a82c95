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

  // Letters lead to the act of the entry that one stands on, and Enter, the button's own key, does it.
  // A scanner types letters too: a key counts only if no other follows at once.
  const SCAN_MS = 50;
  const placeOf = () => document.activeElement?.closest?.(".rows > li")
    || (rows().length === 0 ? byId("main") : null);
  const actOf = (key) => {
    const acts = (place) => place?.querySelector(`[data-act="${CSS.escape(key)}"]`);
    return key === "u" ? acts(byId("undo")) : acts(placeOf());
  };
  const lead = (act) => {
    if (act.matches("a") || act.dataset.act === "u") act.click();
    else act.focus();
  };
  let leading = 0;
  const soon = (does) => {
    clearTimeout(leading);
    leading = setTimeout(does, SCAN_MS + 30);
  };

  const keys = byId("keys");
  const showKeys = () => { if (keys && !keys.open) keys.showModal(); };
  byId("show-keys")?.addEventListener("click", showKeys);

  // A scanner types fast and ends with Enter: what it types anywhere is looked up, and presses no
  // button, wherever one stands.
  const CODE_CHARS_MIN = 5;
  let typed = "", typedAt = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Shift") return;
    clearTimeout(leading);
    if (isTyping(event.target) || event.ctrlKey || event.altKey || event.metaKey || keys?.open) return;
    // By when the key was pressed, not when this page came to it: a busy machine tears no scan apart.
    if (event.timeStamp - typedAt > SCAN_MS) typed = "";
    typedAt = event.timeStamp;
    if (event.key === "Enter" && typed.length >= CODE_CHARS_MIN) {
      event.preventDefault();
      event.stopImmediatePropagation();
      window.location.assign(`/specimens?q=${encodeURIComponent(typed)}`);
      typed = "";
    } else if (event.key.length === 1) {
      typed += event.key;
    }
  }, true);

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
        const link = event.target.querySelector("a[data-open]") || event.target.querySelector("a");
        link?.click();
        return Boolean(link);
      },
    }[event.key];
    if (does) { if (does()) event.preventDefault(); return; }
    const act = actOf(event.key);
    if (act) { event.preventDefault(); soon(() => lead(act)); return; }
    const place = document.querySelector(`.menu a[data-key="${CSS.escape(event.key)}"]`);
    if (place) { event.preventDefault(); soon(() => place.click()); }
  });

  // The way back from an act, while there is one.
  const undo = byId("undo");
  const undoAt = performance.now() + Number(undo?.dataset.left || 0);
  const countDown = () => {
    if (!undo || undo.hidden) return;
    const left = Math.ceil((undoAt - performance.now()) / 1000);
    undo.querySelector("[data-seconds]").textContent = String(Math.max(0, left));
    if (left <= 0) {
      if (undo.contains(document.activeElement)) byId("main")?.focus();
      undo.querySelector("form").hidden = true;
    }
  };

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
  let focused = "", paused = false, missed = false;
  const standOf = () => document.querySelector("[data-stand]")?.dataset.stand;
  const stand = standOf();
  document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
    focused = document.activeElement?.id || "";
    if (event.detail.type === "wire" && paused) { missed = true; event.preventDefault(); }
  });
  document.body.addEventListener("htmx:sseMessage", (event) => {
    if (focused && document.activeElement?.id !== focused) byId(focused)?.focus();
    tell();
    follow();
    const more = byId("more");
    if (more) more.hidden = standOf() === stand;
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
    countDown();
    setInterval(() => { tell(); countDown(); }, 1000);
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
