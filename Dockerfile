# havrrpd in a container, beside the keepalived processes of the machine that it runs on.
# docs/install.md has the commands, and why each of their options is needed.
#
# root inside: a user without it gets no capabilities by --cap-add, and from 2.4.0 keepalived
# refuses a FIFO that somebody else than root made. No --privileged, nothing is written to the image.
FROM debian:bookworm-slim AS python
RUN apt-get update && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log

FROM python AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/havrrpd \
    && /opt/havrrpd/bin/pip install --no-cache-dir -c constraints.txt . \
    && /opt/havrrpd/bin/pip uninstall --yes pip setuptools

FROM python
COPY --from=build /opt/havrrpd /opt/havrrpd
ENV PATH=/opt/havrrpd/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STOPSIGNAL SIGTERM
ENTRYPOINT ["havrrpd"]
CMD ["run"]
