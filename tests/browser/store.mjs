// What must survive a closed tab: a credential is issued once, and lost secrets are a lost vote.

const RECORDS = "records";

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * { load, save } of named records in IndexedDB, which keeps keys that no script can read. `save` comes back when the
 * record is on disk.
 */
export async function openStore(name) {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(RECORDS);
  const database = await settled(opening);
  return {
    load: (key) => settled(database.transaction(RECORDS).objectStore(RECORDS).get(key)),
    save: (key, record) =>
      new Promise((resolve, reject) => {
        const transaction = database.transaction(RECORDS, "readwrite", { durability: "strict" });
        transaction.oncomplete = resolve;
        transaction.onabort = () => reject(transaction.error);
        transaction.objectStore(RECORDS).put(record, key);
      }),
  };
}
