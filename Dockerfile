# havrrpd watches the keepalived processes of the machine it runs on, so the container has to see
# that machine: its processes, its network, its namespaces and the directories it shares with
# keepalived. The directories under /run/havrrpd have to be there before keepalived starts
# (systemd/tmpfiles.d).
#
#   docker build -t havrrpd .
#   docker run --rm --pid host --network host --privileged \
#       --mount type=bind,source=/run,target=/run,bind-propagation=rslave \
#       --volume /etc/havrrpd:/etc/havrrpd:ro --volume /var/lib/havrrpd:/var/lib/havrrpd havrrpd
#
# rslave: or a namespace that is made later stays invisible inside.
FROM python:3.11-slim-bookworm

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY havrrpd havrrpd
RUN pip install --no-cache-dir -c constraints.txt . && rm -rf /src/*

WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["havrrpd"]
CMD ["run"]
