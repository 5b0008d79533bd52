# docker build -t seqrl . && docker run --rm -v "$PWD/runs:/data/runs" seqrl demo
FROM python:3.11-slim

# EGL lets MuJoCo draw without a display; without it seqrl draws the robots itself. The compiler makes planning fast.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libegl1 libgl1 libglvnd0 \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/seqrl
# The CPU build of torch keeps the image small; for a GPU drop the extra index.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c /opt/seqrl/constraints.txt /opt/seqrl

WORKDIR /data
ENTRYPOINT ["seqrl"]
CMD ["demo"]
