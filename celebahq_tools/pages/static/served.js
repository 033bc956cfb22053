"use strict";
// A page from a server: it listens, and renews its sections when there is something new, without a reload.

const server = { last: null, drawn: new Map(), renewing: false, pending: false, pause: 0, listeners: [] };

/** Call a function at every change, and now. */
function listen(callback) {
  server.listeners.push(callback);
  callback();
}

/** Replace the sections whose content changed; what the reader works with (marked keep) stays. */
async function renew() {
  if (server.renewing || document.hidden) { server.pending = true; return; }
  server.renewing = true;
  server.pending = false;
  const started = performance.now();
  try {
    const answer = await fetch("/");
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      let changed = false;
      for (const section of fresh.querySelectorAll("main > section")) {
        const old = document.getElementById(section.id);
        if (!old) continue;
        const body = old.querySelector(".body"), news = section.querySelector(".body");
        if (body.querySelector(".keep") || server.drawn.get(section.id) === news.innerHTML || body.contains(document.activeElement)) continue;
        const sliders = Array.from(body.querySelectorAll("input[type=range]"), (slider) => [slider.value, slider.max]);
        server.drawn.set(section.id, news.innerHTML);
        body.replaceChildren(...document.adoptNode(news).childNodes);
        enliven(body);
        body.querySelectorAll("input[type=range]").forEach((slider, position) => {
          // Who looked at an earlier moment goes on looking at it; who looked at the newest sees the newest.
          const [value, max] = sliders[position] || [];
          if (value !== undefined && value !== max) { slider.value = value; slider.dispatchEvent(new Event("input")); }
        });
        changed = true;
      }
      const subtitle = fresh.querySelector(".subtitle"), shown = document.querySelector(".subtitle");
      if (subtitle && shown) shown.textContent = subtitle.textContent;
      if (changed) document.dispatchEvent(new CustomEvent("renewed"));
    }
  } catch (error) {
    // The server is gone or busy: the stream tells when it is back.
  }
  // A page that is dear to draw is asked for less often.
  const cost = performance.now() - started;
  setTimeout(() => { server.renewing = false; if (server.pending) renew(); }, Math.max(1500, 4 * cost));
}

const stream = new EventSource("/events");
stream.addEventListener("message", (event) => {
  if (server.last !== null && event.data !== server.last) {
    renew();
    for (const callback of server.listeners) callback();
  }
  server.last = event.data;
  document.documentElement.dataset.live = "on";
});
stream.addEventListener("error", () => { document.documentElement.dataset.live = "off"; });
document.addEventListener("visibilitychange", () => { if (!document.hidden && server.pending) renew(); });
