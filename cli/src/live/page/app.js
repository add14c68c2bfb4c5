// SPDX-License-Identifier: MPL-2.0
// The page of the live server: the picture (WebRTC by WHEP, else MJPEG), the gallery, the controls.
'use strict';

const $ = (id) => document.getElementById(id);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const sliders = ['strength', 'stability', 'split', 'style_mix'];

// From http://…/#token=…, which is taken out of the address so that nobody copies it unawares.
let token = new URLSearchParams(location.hash.slice(1)).get('token')
  ?? new URLSearchParams(location.search).get('token')
  ?? sessionStorage.getItem('token');
if (token) {
  sessionStorage.setItem('token', token);
  history.replaceState(null, '', location.pathname);
}
// For what cannot send a header: pictures and sockets.
const withToken = (path) => token ? `${path}?token=${encodeURIComponent(token)}` : path;

async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    await askForToken();
    return call(path, options);
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.error ?? `${path}: ${response.status}`);
  }
  return response;
}

let asking = null;
function askForToken() {
  asking ??= new Promise((done) => {
    $('ask').showModal();
    $('ask').addEventListener('close', () => {
      token = $('token').value;
      sessionStorage.setItem('token', token);
      asking = null;
      done();
    }, { once: true });
  });
  return asking;
}

// --- the picture ---------------------------------------------------------------------------------

let connection = null;
let session = null;
/** Whether sound is wanted. Without, nothing is sent of it, and the picture need not wait for it. */
let sound = false;
let wantsOther = () => {};

/** Another WebRTC session in place of the one there is, as soon as it is connected; until it ends. */
async function play() {
  const pc = new RTCPeerConnection();
  const ended = new Promise((done) => {
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'disconnected') {
        setTimeout(() => pc.connectionState === 'disconnected' && done(), 3000);
      }
      if (['failed', 'closed'].includes(pc.connectionState)) done();
    };
  });
  const withSound = sound;
  let mine = null;
  try {
    const kinds = withSound ? ['video', 'audio'] : ['video'];
    const receivers = kinds.map((kind) => pc.addTransceiver(kind, { direction: 'recvonly' }).receiver);
    for (const receiver of receivers) {
      // As little delay as the network allows.
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
    }
    await pc.setLocalDescription();
    if (pc.iceGatheringState !== 'complete') {
      const gathered = new Promise((done) => {
        pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
      });
      await Promise.race([gathered, wait(1000)]);
    }
    const response = await call('/whep', {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: pc.localDescription.sdp,
    });
    mine = response.headers.get('Location');
    const connected = new Promise((done) => {
      pc.addEventListener('connectionstatechange', () => pc.connectionState === 'connected' && done());
    });
    await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    await Promise.race([connected, ended, wait(10000)]);
    if (pc.connectionState !== 'connected') throw new Error('no way to the server by WebRTC');
    leave();
    [connection, session] = [pc, mine];
    $('video').srcObject = new MediaStream(receivers.map((receiver) => receiver.track));
    $('video').muted = !withSound;
    // A browser may have its reasons not to begin by itself.
    $('video').play().catch(() => {});
    const other = new Promise((done) => { wantsOther = done; });
    // The button may have been pressed meanwhile.
    if (sound === withSound) await Promise.race([ended, other]);
    if (pc.connectionState !== 'connected') leave();
  } catch (error) {
    end(pc, mine);
    leave();
    throw error;
  }
}

function end(pc, mine) {
  pc?.close();
  if (mine) call(mine, { method: 'DELETE', keepalive: true }).catch(() => {});
}

function leave() {
  end(connection, session);
  connection = session = null;
}

/** Again whenever it ends; by MJPEG where WebRTC does not get through. */
async function watch() {
  for (let failures = 0; failures < 3 && window.RTCPeerConnection;) {
    const begin = Date.now();
    try {
      await play();
    } catch (error) {
      show(error.message);
    }
    if (connection) continue;
    failures = Date.now() - begin > 15000 ? 0 : failures + 1;
    await wait(1000 * failures);
  }
  $('sound').remove();
  $('video').hidden = true;
  $('fallback').hidden = false;
  $('fallback').src = withToken('/stream.mjpeg');
  $('fallback').onerror = () => setTimeout(() => { $('fallback').src = withToken('/stream.mjpeg'); }, 2000);
}

$('sound').onclick = () => {
  sound = !sound;
  $('sound').setAttribute('aria-pressed', sound);
  wantsOther();
};
addEventListener('pagehide', leave);
$('fullscreen').onclick = () => document.fullscreenElement
  ? document.exitFullscreen()
  : ($('picture').requestFullscreen?.() ?? $('video').webkitEnterFullscreen?.());

/** Time from the network to the screen, and the network's own. */
let before = null;
async function browserDelay() {
  if (!connection) return 'MJPEG';
  const reports = [...(await connection.getStats()).values()];
  const video = reports.find((report) => report.type === 'inbound-rtp' && report.kind === 'video');
  const pair = reports.find((report) => report.type === 'candidate-pair' && report.nominated);
  if (!video?.framesDecoded) return '–';
  const now = {
    frames: video.framesDecoded,
    time: (video.totalProcessingDelay ?? video.jitterBufferDelay + video.totalDecodeTime),
  };
  const frames = now.frames - (before?.frames ?? 0);
  const delay = frames > 0 ? (now.time - (before?.time ?? 0)) / frames : 0;
  before = now;
  return `${Math.round(1000 * (delay + (pair?.currentRoundTripTime ?? 0) / 2))} ms`;
}

// --- the controls --------------------------------------------------------------------------------

function show(problem) {
  $('problem').hidden = !problem;
  $('problem').textContent = problem ?? '';
}

async function post(path, body) {
  try {
    const response = await call(path, { method: 'POST', body: JSON.stringify(body) });
    show(null);
    showState(await response.json());
  } catch (error) {
    show(error.message);
  }
}

/** One request at a time, the latest values in the next: a slider moves faster than a network. */
const pending = {};
let sending = false;
async function control(name, value) {
  pending[name] = value;
  if (sending) return;
  sending = true;
  while (Object.keys(pending).length) {
    const change = { ...pending };
    for (const key of Object.keys(change)) delete pending[key];
    await post('/api/controls', change);
  }
  sending = false;
}

function label(input) {
  const output = document.querySelector(`output[for="${input.id}"]`);
  output.value = input.id === 'transition'
    ? `${(input.value / 1000).toFixed(1)} s`
    : `${Math.round(100 * input.value)} %`;
}

let held = null;
for (const input of document.querySelectorAll('input[type=range]')) {
  label(input);
  input.addEventListener('input', () => {
    held = input.id;
    label(input);
    if (sliders.includes(input.id)) control(input.id, input.valueAsNumber);
  });
  input.addEventListener('change', () => { held = null; });
}
for (const id of ['style_a', 'style_b']) {
  $(id).addEventListener('change', () => control(id, $(id).value || null));
}
$('controls').addEventListener('submit', (event) => event.preventDefault());

function set(input, value) {
  // What is being dragged is not pulled away by an event that is older.
  if (held === input.id || value == null) return;
  input.value = value;
  label(input);
}

function showState(state) {
  for (const id of sliders) set($(id), state[id]);
  $('split-row').hidden = state.split == null;
  set($('transition'), state.transition_ms);
  for (const id of ['style_a', 'style_b']) {
    if (document.activeElement !== $(id)) $(id).value = state[id] ?? '';
  }
  const mixed = state.style_a || state.style_b;
  for (const tile of document.querySelectorAll('.tile')) {
    tile.setAttribute('aria-pressed', !mixed && tile.dataset.style === state.style);
    if (!tile.querySelector('img') && state.tiles.includes(tile.dataset.style)) {
      const image = new Image();
      image.alt = '';
      image.src = withToken(`/api/styles/${tile.dataset.style}.jpg`);
      tile.prepend(image);
    }
  }
}

function showStats(stats) {
  const { source } = stats;
  const [state, text] = {
    playing: ['good', 'live'],
    starting: ['wait', 'waiting for the source'],
    lost: ['bad', `the source is lost: ${source.error}`],
  }[source.state];
  $('status').dataset.state = state;
  $('status').textContent = text;
  $('fps').textContent = `${stats.fps.toFixed(1)} fps`;
  $('painting').textContent = `${stats.painting_ms.median.toFixed(0)} ms`;
  $('encoded').textContent = `${stats.latency_ms.encoded.median.toFixed(0)} ms`;
  $('provider').textContent = `${stats.provider} ${stats.precision}`;
  $('viewers').textContent = Object.values(stats.viewers).reduce((sum, count) => sum + count);
  if ($('sound')) $('sound').hidden = !source.sound && !sound;
  if (stats.width) $('picture').style.aspectRatio = `${stats.width} / ${stats.height}`;
}

const words = (style) => style.replaceAll('-', ' ');

function build(styles) {
  for (const style of styles) {
    const tile = document.createElement('button');
    tile.type = 'button';
    tile.className = 'tile';
    tile.dataset.style = style;
    const name = document.createElement('span');
    name.textContent = words(style);
    tile.append(name);
    tile.onclick = () => post('/api/style', { style, transition_ms: $('transition').valueAsNumber });
    $('gallery').append(tile);
  }
  for (const [id, none] of [['style_a', 'the style'], ['style_b', 'none']]) {
    $(id).append(new Option(none, ''), ...styles.map((style) => new Option(words(style), style)));
  }
}

function listen() {
  const socket = new WebSocket(withToken('/api/events').replace(/^/, location.origin.replace('http', 'ws')));
  socket.onmessage = async ({ data }) => {
    const { state, stats } = JSON.parse(data);
    showState(state);
    showStats(stats);
  };
  socket.onclose = () => {
    $('status').dataset.state = 'bad';
    $('status').textContent = 'the server does not answer';
    setTimeout(listen, 2000);
  };
}

setInterval(async () => { $('browser').textContent = await browserDelay(); }, 1000);

(async () => {
  try {
    build(await (await call('/api/styles')).json());
  } catch (error) {
    show(error.message);
    return;
  }
  listen();
  watch();
})();
