// The viewer of this gateway's own document.

// @ts-expect-error the viewer's bundle puts itself here
const viewer = window.SwaggerUIBundle;

viewer({
  url: "/openapi.json",
  dom_id: "#viewer",
  // A link inside the button of an operation could not be reached by keyboard.
  deepLinking: false,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  // Nothing is asked of another host.
  validatorUrl: null,
});
