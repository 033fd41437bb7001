// Filters the ledger's table. Without it the page shows every record.
"use strict";
(() => {
  const rows = [...document.querySelectorAll("#ledger tbody tr")];
  const text = document.querySelector("#filter-text");
  const who = document.querySelector("#filter-who");
  const count = document.querySelector("#filter-count");
  if (text && who && count) {
    const show = () => {
      const words = text.value.toLowerCase().split(/\s+/).filter((word) => word);
      let shown = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        const fits = words.every((word) => content.includes(word));
        const visible = fits && (who.value === "" || row.dataset.who === who.value);
        row.hidden = !visible;
        shown += visible ? 1 : 0;
      }
      count.textContent = `${shown} of ${rows.length} records`;
    };
    // A link can say what is looked for: report.html#refused
    const looked = location.hash.slice(1);
    try {
      text.value = decodeURIComponent(looked);
    } catch {
      // A `%` that begins no code is meant as it stands.
      text.value = looked;
    }
    text.addEventListener("input", show);
    who.addEventListener("input", show);
    show();
  }
  document.body.dataset.ready = "yes";
  document.body.dataset.fits = document.documentElement.scrollWidth <= innerWidth ? "yes" : "no";
})();
