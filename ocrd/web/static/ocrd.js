"use strict";
// Live: one event stream; whoever listens for ocrd:change on the body loads itself anew.
(() => {
  const body = document.body;
  const root = document.currentScript.src.replace(/\/static\/.*/, ""); // with a proxy's prefix
  if (document.querySelector("[hx-trigger~='ocrd:change']") && window.EventSource) {
    const events = new EventSource(`${root}/api/v1/events`);
    for (const word of ["open", "change"]) { // while nobody listened anything may have changed
      events.addEventListener(word, () => body.dispatchEvent(new CustomEvent("ocrd:change")));
    }
  }

  // Uploads, with their progress.
  const drop = document.getElementById("drop");
  const sent = document.getElementById("sent");
  const csrf = document.querySelector("meta[name=csrf]").content;
  const say = (item, text, bad) => { item.textContent = text; item.className = bad ? "bad" : ""; };
  function send(file, folder) {
    const item = sent.appendChild(document.createElement("li"));
    if (file.size > Number(drop.dataset.maxMib) * 1048576) {
      say(item, `${file.name}: larger than ${drop.dataset.maxMib} MiB`, true);
      return;
    }
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ folder, name: file.name });
    request.open("POST", `${root}/api/v1/ocr?${query}`);
    request.setRequestHeader("X-CSRF-Token", csrf);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) =>
      say(item, `${file.name}: ${Math.round((100 * event.loaded) / Math.max(event.total, 1))} %`);
    request.onerror = () => say(item, `${file.name}: the connection broke; send it again`, true);
    request.onload = () => {
      request.upload.onprogress = null; // a late word of it must not cover the answer
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { /* a proxy answers with a page of its own */ }
      if (request.status >= 300 || !told.state) {
        const why = request.status === 401 ? "you are logged out: reload the page and log in" : told.error ? `${told.error.message.replace(/\.$/, "")}. ${told.error.hint}`
          : request.status === 413 ? "a proxy before ocrd takes no file of this size (nginx: client_max_body_size)"
          : `not taken; the answer was ${request.status} ${request.statusText}`;
        say(item, `${file.name}: ${why}`, true);
        return;
      }
      item.textContent = "";
      const link = item.appendChild(document.createElement("a"));
      link.textContent = told.id ? `${file.name}: job ${told.id}` : `${file.name}: in the inbox`;
      link.href = told.id ? `${root}/jobs/${told.id}` : `${root}/`;
    };
    request.send(file);
  }
  if (drop) {
    drop.addEventListener("submit", (event) => {
      event.preventDefault();
      for (const file of drop.elements.files.files) send(file, drop.elements.folder.value);
      drop.elements.files.value = "";
    });
    for (const name of ["dragover", "dragleave", "drop"]) {
      body.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", name === "dragover");
        if (name !== "drop") return;
        for (const file of event.dataTransfer.files) send(file, drop.elements.folder.value);
      });
    }
  }

  // A block's text and its boxes light up together.
  function light(name, on) {
    for (const each of document.querySelectorAll(`[data-block="${name}"]`)) each.classList.toggle("lit", on);
  }
  for (const [begin, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
    for (const [kind, on] of [[begin, true], [end, false]]) {
      document.addEventListener(kind, (event) => {
        const block = event.target.closest && event.target.closest("[data-block]");
        if (block) light(block.dataset.block, on);
      });
    }
  }
  document.addEventListener("click", (event) => {
    const box = event.target.closest("rect[data-block]");
    const text = box && document.querySelector(`.block[data-block="${box.dataset.block}"]`);
    if (text) text.focus();
    const copy = event.target.closest("[data-copy]");
    if (copy) copyText(copy);
  });
  async function copyText(button) {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.innerText);
      button.textContent = "Copied";
    } catch { // none over plain http, or it is not allowed: select it, so that Ctrl+C does
      getSelection().selectAllChildren(text);
      button.textContent = "Selected: press Ctrl+C";
    }
  }

  // Pages are turned over by keys.
  const shown = (pages) => Math.max(0, pages.findIndex((page) => `#${page.id}` === location.hash));
  function turn(pages, step) {
    const at = Math.min(Math.max(shown(pages) + step, 0), pages.length - 1);
    pages[at].focus({ preventScroll: true });
    pages[at].scrollIntoView({ block: "start" });
    history.replaceState(null, "", `#${pages[at].id}`);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    if (event.key === "/") { event.preventDefault(); document.querySelector("input[type=search]")?.focus(); }
    const pages = [...document.querySelectorAll(".page")]; // they come when the job is done
    if (!pages.length) return;
    if (event.key === "ArrowRight" || event.key === "n") turn(pages, 1);
    if (event.key === "ArrowLeft" || event.key === "p") turn(pages, -1);
    if (event.key === "c") { const copy = pages[shown(pages)].querySelector(".copy"); if (copy) copyText(copy); }
  });
})();
