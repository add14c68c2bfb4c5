# gst-plugin-stylize: every task is one target; `make help` lists them.
# The work is in scripts/; this file only names it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Arguments of `make demo`, `make gallery` and `make train`; see their scripts.
IN ?=
OUT ?=
MODEL ?=
PHOTO ?=
QUALITY ?=
STYLE ?=
CONTENT ?=
TRAIN_ARGS ?=
PLAN ?=
PHOTOS ?=
PAINTINGS ?=
VGG ?=
MIXED_VGG ?=
DECAY ?=
MINUTES ?=
PROVIDERS ?=
FEATURES ?=
DOCTOR_ARGS ?=
TARGET ?=
SECONDS ?=
TESTS ?=

# WebGPU is tested on a Vulkan driver in software, so that a GPU's provider runs on every machine.
TEST_PROVIDERS := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),webgpu swiftshader)

.PHONY: help setup build demo gallery pictures docs test test-older matrix soak lint bench doctor fuzz tsan gpu-check gpu-bundle install uninstall deb wheel capi test-training test-cluster train campaign galleries clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Install what is missing: system packages, ONNX Runtime; PROVIDERS="webgpu cuda ..." for more
	@scripts/setup.sh $(PROVIDERS)

build: setup ## Build the plugin and the program (release); FEATURES=analytics
	cargo build --release --workspace $(if $(FEATURES),--features $(FEATURES))

demo: ## Stylize Big Buck Bunny, or your file: IN=a.mp4 OUT=b.mp4 MODEL=m.onnx
	@scripts/setup.sh demo
	@scripts/demo.sh "$(IN)" "$(OUT)" "$(MODEL)"

gallery: setup ## Every built-in style on a picture and in a clip: PHOTO=a.jpg IN=b.mp4 OUT=folder QUALITY=quick|lite|full
	@scripts/gallery.sh "$(PHOTO)" "$(IN)" "$(OUT)" "$(QUALITY)"

pictures: setup ## Make the pictures in README and docs anew: OUT=folder for another place
	@scripts/pictures.sh "$(OUT)"

docs: setup ## Write anew what the element says of itself: docs/properties.md, and the plugins cache for hotdoc
	STYLIZE_UPDATE_DOCS=1 cargo test --workspace --test docs --test plugins_cache

test: setup ## Run every test of plugin and program
	@scripts/setup.sh tests $(TEST_PROVIDERS)
	@scripts/fetch-clip.sh >/dev/null
	cargo test --workspace

# Tests are always built for the whole workspace: for one package alone crates have other features, and are built again.
# What runs on OpenVINO, which computes in bfloat16 where the processor can; oneDNN heeds the variable.
OLDER_TESTS := $(addprefix --test ,blocks copies effects effects_planar formats gallery in_flight mask noise padding planar providers sharing stability style)

test-older: setup ## Run the tests of OpenVINO as on a processor with AVX2 and no more (x86-64)
	ONEDNN_MAX_CPU_ISA=AVX2 cargo test --workspace $(OLDER_TESTS)

soak: setup ## A million frames with all that happens to a stream: memory, order, nothing lost (hours); FRAMES=n
	STYLIZE_SOAK=$(or $(FRAMES),1000000) cargo test --release --workspace --test soak --test soak_changes -- --nocapture

matrix: setup ## Paint every combination of container, sound and video that is known (about half an hour)
	@scripts/setup.sh tests
	STYLIZE_MATRIX=all cargo test --workspace --test files matrix -- --nocapture

lint: setup ## Check formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: setup ## Measure speed and memory (a few minutes, on a quiet machine)
	@scripts/bench.sh

doctor: setup ## Try every execution provider that can be found, compare and time it
	@cargo build --release --quiet --workspace --bin stylize
	@target/release/stylize doctor $(DOCTOR_ARGS)

gpu-check: setup ## The GPU's providers on every shipped generator: correctness, and fps from 512x512 to 4K
	@scripts/gpu-check.sh

gpu-bundle: setup ## Pack what gpu-check needs for a machine without network, Rust and GStreamer: gpu-bundle/
	@scripts/gpu-check.sh --bundle gpu-bundle

install: build ## Install plugin, ONNX Runtime and models for this user
	@scripts/install.sh

deb: setup ## Make a Debian package of plugin, program, ONNX Runtime and models: target/debian/stylize_*.deb
	@scripts/deb.sh

capi: setup ## Install the plugin with cargo-c into a temporary folder, as distributions do, and paint with it
	@scripts/capi.sh

wheel: setup ## Make a Python wheel of program and plugin: target/wheels/gst_plugin_stylize-*.whl
	@scripts/wheel.sh

uninstall: ## Remove what `make install` put there
	@scripts/install.sh --remove

fuzz: setup ## Inputs that nobody vouches for, a minute for each kind: TARGET=model SECONDS=3600 for one, longer
	@scripts/fuzz.sh "$(TARGET)" "$(SECONDS)"

tsan: setup ## Run the tests that use threads under ThreadSanitizer (half an hour to build): TESTS="lib sharing …" for some
	@scripts/tsan.sh $(TESTS)

test-training: setup ## Run the tests of the training tool
	@training/setup.sh
	cd training && .venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/pytest -q

test-cluster: setup ## Run the tests of the Ray driver: three nodes on this machine, killed and stopped
	cargo build --workspace
	@cluster/setup.sh
	cd cluster && .venv/bin/ruff check . && .venv/bin/ruff format --check . && STYLIZE="$(CURDIR)/target/debug/stylize" .venv/bin/pytest -q

train: setup ## Train a generator: STYLE=image.jpg CONTENT=folder OUT=model.onnx
	$(if $(and $(STYLE),$(CONTENT),$(OUT)),,$(error say make train STYLE=image.jpg CONTENT=folder OUT=model.onnx))
	@training/setup.sh
	training/.venv/bin/stylize-train train --style "$(STYLE)" --content "$(CONTENT)" --out "$(OUT)" $(TRAIN_ARGS)

campaign: ## Go on training a gallery, in the background: PLAN=full|lite|quick PHOTOS=folder PAINTINGS=folder VGG=file MIXED_VGG=file
	@scripts/campaign.sh "$(PLAN)" "$(PHOTOS)" "$(PAINTINGS)" "$(VGG)" "$(MIXED_VGG)" $(MINUTES)

galleries: ## Make the built-in galleries anew from their campaigns: PHOTOS=folder PAINTINGS=folder VGG=file MIXED_VGG=file
	@scripts/galleries.sh "$(PHOTOS)" "$(PAINTINGS)" "$(VGG)" "$(MIXED_VGG)" $(DECAY)

clean: ## Remove what was built (not what setup fetched)
	cargo clean
	rm -f demo.mp4
