# The image of ringcast (docs/containers.md): the program and what it loads, without a shell.
#
#   docker build -t websocket-server:latest .
#   podman build --format docker -t websocket-server:latest .      (an image of OCI has no HEALTHCHECK)

FROM debian:bookworm-slim AS build
WORKDIR /src
# This layer, with the packages and the compiler, is made again only when one of the two files changes.
COPY scripts/setup.sh scripts/debian.sh scripts/
RUN scripts/setup.sh run && apt-get -q install -y --no-install-recommends binutils
COPY . .
RUN .toolchain/zig-0.16.0/zig build && container/make_root.sh /root/image && \
    rm -rf .zig-cache zig-out /root/.cache

FROM scratch
LABEL org.opencontainers.image.title="ringcast" \
      org.opencontainers.image.description="A WebSocket broadcaster for market data" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /root/image/ /
# It makes the admin port reachable, for open paths only. Files of yours are named with --config.
ENV PATH=/usr/bin RINGCAST_CONFIG=/etc/ringcast/ringcast.yaml
USER 1000:1000
WORKDIR /app
VOLUME /app/logs /app/config
# Clients, the admin server, metrics.
EXPOSE 8765 8080 9090
HEALTHCHECK --interval=30s --timeout=10s --start-period=5s --retries=3 CMD ["ringcast", "health"]
ENTRYPOINT ["ringcast"]
