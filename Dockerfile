# syntax=docker/dockerfile:1
# The program `stylize` in a container, from the package that `make deb` makes:
#   make deb && docker build -t stylize . && docker run --rm -v "$PWD:/work" stylize in.mp4 out.mp4
FROM debian:12-slim
COPY target/debian/stylize_*.deb /tmp/
RUN apt-get update \
    && apt-get install -y --no-install-recommends /tmp/stylize_*.deb gstreamer1.0-nice \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/*
RUN useradd --create-home painter
USER painter
WORKDIR /work
EXPOSE 8080
ENTRYPOINT ["stylize"]
