// The search: another order is shown at once, and empty fields stay out of the address.

const form = document.querySelector(".search");

document.addEventListener("change", ({ target }) => target.name === "sort" && form.requestSubmit());
form.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value || value === "added") formData.delete(name);
});

const filters = form.querySelector(".filters");
document.addEventListener("click", ({ target }) => {
  if (!filters.contains(target)) filters.open = false;
});
filters.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape" || !filters.open) return;
  filters.open = false;
  filters.querySelector("summary").focus();
});
