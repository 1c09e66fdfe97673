# SPDX-License-Identifier: Apache-2.0
# OPAL's official server with kafka-notify beside it; nothing of OPAL is changed.
#   docker build -f docker/opal-server.Dockerfile -t opal-server-kafka-notify .
ARG OPAL_VERSION=0.9.9
FROM permitio/opal-server:${OPAL_VERSION}
USER root
COPY setup.cfg setup.py pyproject.toml README.rst LICENSE /tmp/kafka-notify/
COPY kafka_notify /tmp/kafka-notify/kafka_notify
RUN pip install --no-cache-dir '/tmp/kafka-notify[cli,opal]' && rm -r /tmp/kafka-notify
# What start.sh gives to gunicorn.
ENV UVICORN_ASGI_APP=kafka_notify.opal:app
USER opal
