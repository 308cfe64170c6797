// The console works without this file. With it: parts of a page stay fresh, the builder counts while one edits,
// keys lead to places, and commands can be copied. Nothing is kept in the browser.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("script");

  const page = async (address, options) => {
    const answer = await fetch(address, { credentials: "same-origin", cache: "no-store", redirect: "follow", ...options });
    return { answer, page: new DOMParser().parseFromString(await answer.text(), "text/html") };
  };

  // Puts a newer copy of a part in its place; what is being typed, folded out or scrolled stays as it is.
  const replace = (old, fresh) => {
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    const focused = document.activeElement && old.contains(document.activeElement) ? document.activeElement : null;
    const mark = focused && (focused.id ? "#" + CSS.escape(focused.id) : focused.name && focused.value ? `[name="${CSS.escape(focused.name)}"][value="${CSS.escape(focused.value)}"]` : null);
    const place = focused && "selectionStart" in focused ? [focused.selectionStart, focused.selectionEnd] : null;
    const typed = focused && "value" in focused && focused.tagName !== "BUTTON" ? focused.value : null;
    const node = document.adoptNode(fresh);
    old.replaceWith(node);
    const now = [...node.querySelectorAll("details")];
    if (now.length === open.length) now.forEach((one, n) => (one.open = open[n]));
    const again = mark && node.querySelector(mark);
    if (again) {
      if (typed !== null && again.tagName === "INPUT" && again.type !== "checkbox") again.value = typed;
      again.focus({ preventScroll: true });
      try { if (place && place[0] !== null) again.setSelectionRange(...place); } catch { /* not a text field */ }
    }
    ready(node);
  };

  // Parts of one page that are due together are brought by one request.
  let shared = { at: 0, answer: null };
  const same = () => {
    if (Date.now() - shared.at > 400) shared = { at: Date.now(), answer: page(location.href, { headers: { "Console-Refresh": "1" } }) };
    return shared.answer;
  };

  // Parts that show something under way.
  const refresh = (part) => {
    const wait = Number(part.dataset.refresh);
    if (!wait || part.dataset.watched) return;
    part.dataset.watched = "1";
    const again = async () => {
      if (!part.isConnected) return;
      if (document.hidden || part.querySelector("details.ask[open], form:focus-within")) return setTimeout(again, wait);
      try {
        const { answer, page: fresh } = await same();
        const newer = answer.ok && !answer.redirected && fresh.getElementById(part.id);
        if (newer) return replace(part, newer);
        // What was under way is over, or nobody is signed in any more.
        if (answer.ok && !document.querySelector("form:focus-within")) return location.reload();
      } catch { /* the server is away for a moment */ }
      setTimeout(again, wait * 2);
    };
    setTimeout(again, wait);
  };

  // The builder: every edit is sent, and the whole form comes back with its counts.
  let sending = 0;
  const send = async (form, button) => {
    const turn = ++sending;
    const data = new URLSearchParams(new FormData(form));
    if (button && button.name) data.append(button.name, button.value);
    form.setAttribute("aria-busy", "true");
    try {
      const { answer, page: fresh } = await page(form.getAttribute("action"), { method: "POST", body: data });
      if (turn !== sending) return;
      const newer = fresh.getElementById(form.id);
      if (answer.redirected && !newer) return location.assign(answer.url);
      if (!newer) return form.submit();
      replace(form, newer);
      const notices = (one) => [...one.querySelectorAll("main > .notice")];
      notices(document).forEach((one) => one.remove());
      notices(fresh).forEach((one) => document.querySelector("main > .head").after(document.adoptNode(one)));
    } catch {
      form.removeAttribute("aria-busy");
    }
  };
  const live = (form) => {
    if (form.dataset.watched) return;
    form.dataset.watched = "1";
    let timer;
    form.addEventListener("submit", (event) => {
      const button = event.submitter;
      event.preventDefault();
      clearTimeout(timer);
      send(form, button);
    });
    form.addEventListener("change", (event) => {
      const name = event.target.name || "";
      if (name.endsWith(".add") || name === "json" || name === "title" || name === "name") return;
      clearTimeout(timer);
      timer = setTimeout(() => send(form), 120);
    });
  };

  const copies = (button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  };

  const ready = (part) => {
    const all = (what) => [...(part.matches && part.matches(what) ? [part] : []), ...part.querySelectorAll(what)];
    all("[data-refresh]").forEach(refresh);
    all("form[data-live]").forEach(live);
    if (navigator.clipboard) all("[data-copy]").forEach(copies);
  };
  ready(document);

  // Keys: / finds; g and a letter lead to a place.
  let go = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))) return;
    if (event.key === "/") {
      const find = document.getElementById("find");
      if (find) { event.preventDefault(); find.focus(); find.select(); }
    } else if (event.key === "g") {
      go = Date.now();
    } else if (Date.now() - go < 1500) {
      go = 0;
      const way = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (way) way.click();
    }
  });
})();
