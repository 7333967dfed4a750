// The search: another order is shown at once, and empty fields stay out of the address.

const form = document.querySelector(".search");

document.addEventListener("change", ({ target }) => target.name === "sort" && form.requestSubmit());
form.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value || value === "added") formData.delete(name);
});

document.addEventListener("click", ({ target }) => {
  const filters = form.querySelector(".filters");
  if (!filters.contains(target)) filters.open = false;
});
