// Run by the page of /docs in a browser, after Swagger UI itself.
window.ui = SwaggerUIBundle({
  url: new URL('../json', document.currentScript.src).href,
  dom_id: '#swagger-ui',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // Otherwise it asks a service elsewhere whether the document is valid.
  validatorUrl: null,
})
