# One static binary in an image of nothing else. Plain Dockerfile syntax, so
# that the engine's own builder takes it.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# As in the Makefile: SQLite as its authors advise for Linux.
ENV CGO_CFLAGS="-O2 -g -DHAVE_FDATASYNC=1 -DSQLITE_DEFAULT_MEMSTATUS=0"
RUN CGO_ENABLED=1 go build -trimpath -buildvcs=false \
        -tags "sqlite_fts5 sqlite_omit_load_extension netgo osusergo" \
        -ldflags '-s -w -linkmode external -extldflags "-static"' \
        -o /out/postrider ./cmd/postrider \
    && mkdir -p /out/data /out/tmp && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/postrider /postrider
COPY --from=build --chown=65532:65532 /out/data /var/lib/postrider
COPY --from=build --chown=65532:65532 /out/data /zones
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
VOLUME /var/lib/postrider
EXPOSE 25 587 465 110 995 143 993
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s CMD ["/postrider", "health"]
ENTRYPOINT ["/postrider"]
CMD ["serve"]
