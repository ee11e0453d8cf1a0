# syntax=docker/dockerfile:1
# One small binary and the web app on a base without a shell. Both roles run from it:
# the gateway by default, a session as `session` (docs/DEPLOY.md).
# Never built so far: there was no Docker where it was written. tests/it/image.rs reads it.

FROM node:22-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY web/ ./
RUN npm run build

# Of the same Debian as the base below: a binary runs where glibc is no older.
FROM rust:1.95-bookworm AS build
WORKDIR /src
ENV SQLX_OFFLINE=true
COPY .cargo/ .cargo/
COPY Cargo.toml Cargo.lock ./
# The workspace's other members are not built, but cargo wants to see them.
COPY crates/ crates/
COPY tests/ tests/
COPY benches/ benches/
COPY .sqlx/ .sqlx/
COPY migrations/ migrations/
COPY config/ config/
COPY src/ src/
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin interview-runtime && cp target/dist/interview-runtime /interview-runtime

FROM gcr.io/distroless/cc-debian12:nonroot
ARG REVISION=unknown
LABEL org.opencontainers.image.title="interview-runtime" \
      org.opencontainers.image.description="One interview, one supervised tree of actors, one machine" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=web /src/web/dist /web
COPY --from=build /interview-runtime /interview-runtime
ENV INTERVIEW__HTTP__WEB_DIR=/web
USER nonroot
EXPOSE 8080
ENTRYPOINT ["/interview-runtime"]
CMD ["gateway"]
