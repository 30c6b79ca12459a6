/** The operations of a node that is still starting: each says so, until the real ones take over. */
import { JarvisError } from '../lib/errors.ts';
import type { ClusterOperations } from '../operations/port.ts';

export class StartingOperations implements ClusterOperations {
  #present: ClusterOperations | null = null;

  become(operations: ClusterOperations): void {
    this.#present = operations;
  }

  submitTasks: ClusterOperations['submitTasks'] = async (...call) => this.#ready().submitTasks(...call);
  acceptTasks: ClusterOperations['acceptTasks'] = async (...call) => this.#ready().acceptTasks(...call);
  getTask: ClusterOperations['getTask'] = async (...call) => this.#ready().getTask(...call);
  listTasks: ClusterOperations['listTasks'] = async (...call) => this.#ready().listTasks(...call);
  cancelTask: ClusterOperations['cancelTask'] = async (...call) => this.#ready().cancelTask(...call);
  retryTask: ClusterOperations['retryTask'] = async (...call) => this.#ready().retryTask(...call);
  updateTask: ClusterOperations['updateTask'] = async (...call) => this.#ready().updateTask(...call);
  watchTask: ClusterOperations['watchTask'] = (...call) => this.#ready().watchTask(...call);
  readLogs: ClusterOperations['readLogs'] = (...call) => this.#ready().readLogs(...call);
  watchEvents: ClusterOperations['watchEvents'] = (...call) => this.#ready().watchEvents(...call);
  listNodes: ClusterOperations['listNodes'] = async (...call) => this.#ready().listNodes(...call);
  explainTask: ClusterOperations['explainTask'] = async (...call) => this.#ready().explainTask(...call);
  planTasks: ClusterOperations['planTasks'] = async (...call) => this.#ready().planTasks(...call);
  getNode: ClusterOperations['getNode'] = async (...call) => this.#ready().getNode(...call);
  getLogLevel: ClusterOperations['getLogLevel'] = async (...call) => this.#ready().getLogLevel(...call);
  setLogLevel: ClusterOperations['setLogLevel'] = async (...call) => this.#ready().setLogLevel(...call);
  getNodeUsage: ClusterOperations['getNodeUsage'] = async (...call) => this.#ready().getNodeUsage(...call);
  getTaskUsage: ClusterOperations['getTaskUsage'] = async (...call) => this.#ready().getTaskUsage(...call);
  cordonNode: ClusterOperations['cordonNode'] = async (...call) => this.#ready().cordonNode(...call);
  drainNode: ClusterOperations['drainNode'] = async (...call) => this.#ready().drainNode(...call);
  undrainNode: ClusterOperations['undrainNode'] = async (...call) => this.#ready().undrainNode(...call);
  labelNode: ClusterOperations['labelNode'] = async (...call) => this.#ready().labelNode(...call);
  removeNode: ClusterOperations['removeNode'] = async (...call) => this.#ready().removeNode(...call);
  getCluster: ClusterOperations['getCluster'] = async (...call) => this.#ready().getCluster(...call);
  changeMember: ClusterOperations['changeMember'] = async (...call) => this.#ready().changeMember(...call);
  transferLeadership: ClusterOperations['transferLeadership'] = async (...call) =>
    this.#ready().transferLeadership(...call);
  saveSnapshot: ClusterOperations['saveSnapshot'] = (...call) => this.#ready().saveSnapshot(...call);
  getConfig: ClusterOperations['getConfig'] = async (...call) => this.#ready().getConfig(...call);
  setConfig: ClusterOperations['setConfig'] = async (...call) => this.#ready().setConfig(...call);
  createJoinToken: ClusterOperations['createJoinToken'] = async (...call) =>
    this.#ready().createJoinToken(...call);
  listJoinTokens: ClusterOperations['listJoinTokens'] = async (...call) =>
    this.#ready().listJoinTokens(...call);
  getJoinToken: ClusterOperations['getJoinToken'] = async (...call) => this.#ready().getJoinToken(...call);
  listAlerts: ClusterOperations['listAlerts'] = async (...call) => this.#ready().listAlerts(...call);
  getAutoscaler: ClusterOperations['getAutoscaler'] = async (...call) => this.#ready().getAutoscaler(...call);
  listScalingDecisions: ClusterOperations['listScalingDecisions'] = async (...call) =>
    this.#ready().listScalingDecisions(...call);
  testAlert: ClusterOperations['testAlert'] = async (...call) => this.#ready().testAlert(...call);
  deleteJoinToken: ClusterOperations['deleteJoinToken'] = async (...call) =>
    this.#ready().deleteJoinToken(...call);
  submitBatch: ClusterOperations['submitBatch'] = async (...call) => this.#ready().submitBatch(...call);
  getBatch: ClusterOperations['getBatch'] = async (...call) => this.#ready().getBatch(...call);
  listBatches: ClusterOperations['listBatches'] = async (...call) => this.#ready().listBatches(...call);
  cancelBatch: ClusterOperations['cancelBatch'] = async (...call) => this.#ready().cancelBatch(...call);
  retryBatch: ClusterOperations['retryBatch'] = async (...call) => this.#ready().retryBatch(...call);
  submitDag: ClusterOperations['submitDag'] = async (...call) => this.#ready().submitDag(...call);
  getDag: ClusterOperations['getDag'] = async (...call) => this.#ready().getDag(...call);
  listDags: ClusterOperations['listDags'] = async (...call) => this.#ready().listDags(...call);
  cancelDag: ClusterOperations['cancelDag'] = async (...call) => this.#ready().cancelDag(...call);
  retryDag: ClusterOperations['retryDag'] = async (...call) => this.#ready().retryDag(...call);
  createToken: ClusterOperations['createToken'] = async (...call) => this.#ready().createToken(...call);
  listTokens: ClusterOperations['listTokens'] = async (...call) => this.#ready().listTokens(...call);
  revokeToken: ClusterOperations['revokeToken'] = async (...call) => this.#ready().revokeToken(...call);
  version: ClusterOperations['version'] = () => this.#ready().version();
  freshness: ClusterOperations['freshness'] = () => this.#ready().freshness();

  #ready(): ClusterOperations {
    if (this.#present === null) throw new JarvisError('unavailable', 'this node is starting');
    return this.#present;
  }
}
