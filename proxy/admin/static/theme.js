/* Light, dark, or as the system is: set before anything is drawn, so that nothing flashes. */
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
