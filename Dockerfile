# `ttc serve` on NVIDIA GPUs. The base brings CUDA, torch and vLLM in versions that fit.
FROM vllm/vllm-openai:v0.32.0

WORKDIR /opt/ttc
COPY pyproject.toml README.md LICENSE ttc_allocator.py ./
COPY allocator allocator
COPY predictors predictors
COPY runtime runtime
COPY calibration calibration
RUN uv pip install --system --no-cache '.[vllm,server]' \
    && useradd --create-home --uid 10001 ttc

USER 10001:10001
WORKDIR /home/ttc
# Made by the user who writes there: models, and what vLLM, FlashInfer, Triton and torch compile. A
# volume that is mounted over one of them gets its owner.
RUN mkdir -p /home/ttc/.cache/huggingface /home/ttc/.cache/vllm /home/ttc/.cache/flashinfer \
    /home/ttc/.cache/triton /home/ttc/.cache/torchinductor
ENV TRITON_CACHE_DIR=/home/ttc/.cache/triton TORCHINDUCTOR_CACHE_DIR=/home/ttc/.cache/torchinductor
# All interfaces of the container: the server asks for keys there (TTC_API_KEYS).
ENV TTC_ARTIFACT=/artifact TTC_HOST=0.0.0.0
EXPOSE 8000
# Large models take minutes to load.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15m --retries=4 \
    CMD ["curl", "--fail", "--silent", "--max-time", "4", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["ttc", "serve"]
