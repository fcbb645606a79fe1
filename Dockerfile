FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY internal internal
COPY webhook webhook
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /manager ./cmd \
 && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /worker ./cmd/worker

FROM debian:12-slim AS worker
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates ffmpeg && rm -rf /var/lib/apt/lists/*
COPY --from=build /worker /worker
USER 65532:65532
ENTRYPOINT ["/worker"]

FROM gcr.io/distroless/static:nonroot AS manager
COPY --from=build /manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
