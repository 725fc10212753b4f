"use strict";
// Keeps the page up to date. Without it the page is whole and loads itself anew every 30 s.
(() => {
  const every = 5000;
  const pause = document.getElementById("pause");
  const connection = document.getElementById("connection");
  const said = document.getElementById("said");
  const headline = () => document.querySelector("h1").textContent;
  let paused = false;
  let lostAt = null;
  // Checks with many lines whose lines are shown.
  const unfolded = new Set(new URLSearchParams(location.search).getAll("unfold"));

  const showButtons = () => {
    // A browser copies on this machine and over HTTPS only.
    if (navigator.clipboard) document.querySelectorAll("button.copy").forEach((button) => { button.hidden = false; });
  };

  // What a reader has unfolded stays so.
  const keepFolds = (from, to) => {
    const own = [to, ...to.querySelectorAll("details[id]")].filter((one) => one.matches("details[id]"));
    for (const details of own) {
      const before = document.getElementById(details.id);
      if (before && from.contains(before)) details.open = before.open;
    }
  };

  const isSelectedIn = (part) => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  };

  const bring = (page, only) => {
    document.title = page.title;
    const before = headline();
    // Those that are shown leave `page`.
    const parts = page.querySelectorAll("[data-part]");
    for (const fresh of parts) {
      if (only && fresh.dataset.part !== only) continue;
      const part = document.querySelector(`[data-part="${CSS.escape(fresh.dataset.part)}"]`);
      // Another set of checks: the file was read again.
      if (!part) return location.reload();
      keepFolds(part, fresh);
      fresh.querySelectorAll("button.copy").forEach((button) => { button.hidden = !navigator.clipboard; });
      if (fresh.outerHTML === part.outerHTML || isSelectedIn(part)) continue;
      const focused = part.contains(document.activeElement) ? path(part, document.activeElement) : null;
      part.replaceWith(fresh);
      if (focused) at(fresh, focused)?.focus({ preventScroll: true });
    }
    if (document.querySelectorAll("[data-part]").length !== parts.length) location.reload();
    // Said aloud only when it is another.
    if (headline() !== before) said.textContent = headline();
  };

  // The place of an element in a part, as indexes of children.
  const path = (part, element) => {
    const places = [];
    for (let one = element; one !== part; one = one.parentElement) places.unshift([...one.parentElement.children].indexOf(one));
    return places;
  };
  const at = (part, places) => places.reduce((one, place) => one?.children[place], part);

  // All of it, or one part alone, which is brought while updates are paused, too.
  const refresh = async (only) => {
    if ((paused && !only) || document.hidden) return;
    try {
      const query = new URLSearchParams([...unfolded].map((check) => ["unfold", check]));
      const answer = await fetch(unfolded.size ? `/?${query}` : "/", { headers: { accept: "text/html" }, signal: AbortSignal.timeout(every) });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      bring(new DOMParser().parseFromString(await answer.text(), "text/html"), only);
      lostAt = null;
      connection.hidden = true;
    } catch {
      lostAt ??= new Date();
      connection.textContent = `No answer from the watch since ${lostAt.toLocaleTimeString("en-GB")}: what is shown is old.`;
      connection.hidden = false;
    }
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on with updates" : "Pause updates";
    if (!paused) refresh();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    said.textContent = "The sheet is copied.";
    button.textContent = "Copied";
  });
  // Lines of a check that stands folded up come once somebody unfolds it.
  document.addEventListener("toggle", (event) => {
    const { check, part } = event.target.dataset ?? {};
    if (!check) return;
    if (!event.target.open) unfolded.delete(check);
    else if (event.target.querySelector(".unfold")) {
      unfolded.add(check);
      refresh(part);
    }
  }, true);
  document.addEventListener("visibilitychange", () => refresh());
  showButtons();
  setInterval(() => refresh(), every);
})();
