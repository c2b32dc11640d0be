// Begins the viewer on the description that the page names: a file of its own, since the page allows no script in itself.
const place = document.getElementById("viewer");
window.SwaggerUIBundle({ url: place.dataset.description, domNode: place, deepLinking: true, docExpansion: "list" });
