// What a program built on @kubernetes/client-node does. Run by node's own test runner in the namespace $NAMESPACE.
import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const namespace = process.env.NAMESPACE;
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

// The test's deadline is the promise's.
const event = (emitter, name) => new Promise((resolve) => emitter.on(name, resolve));

const configMap = (name, data, labels = {}) =>
  core.createNamespacedConfigMap({ namespace, body: { metadata: { name, labels }, data } });

// watched runs act while it watches, and resolves to what was seen up to the event for which until is true.
async function watched(path, query, act, until) {
  const seen = [];
  let found, failed;
  const done = new Promise((resolve, reject) => ([found, failed] = [resolve, reject]));
  const watch = await new k8s.Watch(config).watch(path, query, (type, object) => {
    seen.push([type, object]);
    if (until(type, object)) found();
  }, (err) => failed(err ?? new Error('the watch ended')));
  await act();
  await done;
  watch.abort();
  return seen;
}

test('list in chunks, by label', async () => {
  for (const i of [1, 2, 3]) await configMap(`chunk-${i}`, {}, { set: 'chunks' });
  const first = await core.listNamespacedConfigMap({ namespace, labelSelector: 'set=chunks', limit: 2 });
  assert.equal(first.items.length, 2);
  assert.equal(first.metadata.remainingItemCount ?? 1, 1);
  const rest = await core.listNamespacedConfigMap({
    namespace, labelSelector: 'set=chunks', limit: 2, _continue: first.metadata._continue,
  });
  assert.deepEqual(rest.items.map((item) => item.metadata.name), ['chunk-3']);
});

test('watch sees what is added, changed and deleted', async () => {
  const seen = await watched(`/api/v1/namespaces/${namespace}/configmaps`, { labelSelector: 'set=watch' }, async () => {
    await configMap('watched', { a: '1' }, { set: 'watch' });
    await core.patchNamespacedConfigMap({ namespace, name: 'watched', body: { data: { a: '2' } } },
      k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
    await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
  }, (type) => type === 'DELETED');
  assert.deepEqual(seen.map(([type, object]) => [type, object.data.a]), [['ADDED', '1'], ['MODIFIED', '2'], ['DELETED', '2']]);
});

test('informer keeps a cache', async () => {
  await configMap('cached', { a: '1' }, { set: 'informer' });
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`,
    () => core.listNamespacedConfigMap({ namespace, labelSelector: 'set=informer' }), 'set=informer');
  const added = event(informer, 'add'), changed = event(informer, 'update'), deleted = event(informer, 'delete');
  await informer.start();
  await added;
  assert.equal(informer.get('cached', namespace).data.a, '1');
  await core.patchNamespacedConfigMap({ namespace, name: 'cached', body: [{ op: 'replace', path: '/data/a', value: '2' }] },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch));
  await changed;
  assert.equal(informer.get('cached', namespace).data.a, '2');
  await core.deleteNamespacedConfigMap({ namespace, name: 'cached' });
  await deleted;
  assert.equal(informer.get('cached', namespace), undefined);
  await informer.stop();
});

test('each kind of patch', async () => {
  const labels = { app: 'patched' };
  const body = {
    metadata: { name: 'patched' },
    spec: {
      replicas: 0, selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'a', image: 'a' }, { name: 'b', image: 'b' }] } },
    },
  };
  await apps.createNamespacedDeployment({ namespace, body });
  const patch = (strategy, body, more = {}) => apps.patchNamespacedDeployment({ namespace, name: 'patched', body, ...more },
    k8s.setHeaderOptions('Content-Type', strategy));
  const merged = await patch(k8s.PatchStrategy.StrategicMergePatch,
    { spec: { template: { spec: { containers: [{ name: 'b', image: 'c' }] } } } });
  assert.deepEqual(merged.spec.template.spec.containers.map((c) => c.image).sort(), ['a', 'c']);
  const applied = await patch(k8s.PatchStrategy.ServerSideApply,
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'patched', annotations: { by: 'npm' } } },
    { fieldManager: 'npm', force: true });
  assert.equal(applied.metadata.annotations.by, 'npm');
  assert.ok(applied.metadata.managedFields.some((f) => f.manager === 'npm' && f.operation === 'Apply'));
  const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'patched' });
  scale.spec.replicas = 1;
  delete scale.metadata.resourceVersion; // the controller may have written in between
  assert.equal((await apps.replaceNamespacedDeploymentScale({ namespace, name: 'patched', body: scale })).spec.replicas, 1);
});

test('errors have a status', async () => {
  await assert.rejects(core.readNamespacedConfigMap({ namespace, name: 'none' }), (err) => {
    assert.equal(err.code, 404);
    assert.equal(JSON.parse(err.body).reason, 'NotFound');
    return true;
  });
});

test('objects of kinds known by name only', async () => {
  const objects = k8s.KubernetesObjectApi.makeApiClient(config);
  const header = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'closed', namespace } };
  await objects.create({ ...header, spec: { podSelector: {} } });
  assert.deepEqual((await objects.read(header)).spec.policyTypes, ['Ingress']);
  await objects.delete(header);
});

test('in a pod', async (t) => {
  const name = 'web';
  await t.test('starts', async () => {
    await watched(`/api/v1/namespaces/${namespace}/pods`, { fieldSelector: `metadata.name=${name}` }, () =>
      core.createNamespacedPod({
        namespace, body: {
          metadata: { name },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [{ name, image: process.env.IMAGE, command: ['sh', '-c', 'echo started; sleep 1000'] }],
          },
        },
      }), (_, pod) => pod.status.phase === 'Running');
  });

  await t.test('exec passes input, output and the exit code', async () => {
    const output = new PassThrough(), errors = new PassThrough();
    const status = await new Promise((resolve, reject) => new k8s.Exec(config).exec(namespace, name, name,
      ['sh', '-c', 'echo out; echo err >&2; exit 3'], output, errors, null, false, resolve).catch(reject));
    assert.equal(status.status, 'Failure');
    assert.deepEqual(status.details.causes, [{ reason: 'ExitCode', message: '3' }]);
    assert.equal(output.read().toString(), 'out\n');
    assert.equal(errors.read().toString(), 'err\n');

    const echo = new PassThrough();
    const echoed = event(echo, 'data');
    const socket = await new k8s.Exec(config).exec(namespace, name, name, ['cat'], echo, null, Readable.from(['hello\n']), false);
    assert.equal((await echoed).toString(), 'hello\n');
    socket.close();
  });

  await t.test('log follows to the end', async () => {
    const output = new PassThrough();
    const line = event(output, 'data'), end = event(output, 'end');
    await new k8s.Log(config).log(namespace, name, name, output, { follow: true });
    assert.equal((await line).toString(), 'started\n');
    await core.deleteNamespacedPod({ namespace, name });
    await end;
  });
});
