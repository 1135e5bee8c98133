# The service for your own Postgres: DATABASE_URL is required, because the embedded one is left out.
# The image writes nothing to its own file system, so it runs with --read-only.

# Node 24.18. `docker buildx imagetools inspect node:24-slim` prints the digest of a newer one.
ARG NODE=node:24-slim@sha256:6f7b03f7c2c8e2e784dcf9295400527b9b1270fd37b7e9a7285cf83b6951452d

FROM ${NODE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN ["npm", "ci", "--omit=optional", "--no-audit", "--no-fund"]
COPY build.js tsconfig.json tsconfig.build.json ./
COPY src src
RUN ["npm", "run", "build"]

FROM ${NODE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN ["npm", "ci", "--omit=dev", "--omit=optional", "--no-audit", "--no-fund"]

FROM ${NODE}
LABEL org.opencontainers.image.title="Rollcall" \
      org.opencontainers.image.description="Claims and barriers for at-least-once workers, over HTTP on Postgres" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080
# What installs packages is of use only to an intruder.
RUN ["rm", "-rf", "/opt", "/usr/local/lib/node_modules", "/usr/local/bin/npm", "/usr/local/bin/npx", \
  "/usr/local/bin/corepack", "/usr/local/bin/yarn", "/usr/local/bin/yarnpkg"]
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY migrations migrations
COPY openapi/openapi.json openapi/openapi-3.0.json openapi/openapi.yaml openapi/
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
  CMD ["node", "dist/cli/probe.js"]
# A small young generation, and an old one that is collected once it has grown by half: with Node's own choice the service holds
# up to twice as much memory, and is hardly faster (bench/README.md).
ENTRYPOINT ["node", "--max-semi-space-size=8", "--heap-growing-percent=30", "dist/cli/cli.js"]
CMD ["serve"]
