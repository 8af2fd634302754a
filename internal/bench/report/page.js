"use strict";
(() => {
  const order = new Intl.Collator("en", {numeric: true});
  const key = (row, i) => row.cells[i].dataset.key ?? row.cells[i].textContent;
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : order.compare(a, b);
  };
  for (const table of document.querySelectorAll("table.sort")) {
    const body = table.tBodies[0], rows = Array.from(body.rows), heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, i) => {
      if (!head.hasAttribute("aria-sort")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const h of heads) if (h.hasAttribute("aria-sort")) h.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        rows.sort((a, b) => sign * compare(key(a, i), key(b, i)));
        body.append(...rows);
      });
    });
  }
  for (const tools of document.querySelectorAll(".tools")) {
    const input = tools.querySelector("input"), shown = tools.querySelector("[role=status]");
    const parts = Array.from(document.querySelectorAll("." + tools.dataset.for));
    const text = new Map(parts.map(p => [p, p.textContent.toLowerCase()]));
    tools.hidden = false;
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const p of parts) {
        p.hidden = !words.every(w => text.get(p).includes(w));
        if (!p.hidden) n++;
      }
      shown.textContent = n + " of " + parts.length;
    });
  }
  for (const link of document.querySelectorAll("a[href^='#']")) {
    link.addEventListener("click", () => {
      const target = document.getElementById(link.hash.slice(1));
      if (target instanceof HTMLDetailsElement) target.open = true;
    });
  }
})();
