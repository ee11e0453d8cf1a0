/** How many takes of a recording wait on the device of this page; the same in every browser. */
export const keptTakes = (page) =>
  page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.open('interview-recording');
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const all = request.result.transaction('takes').objectStore('takes').count();
          all.onsuccess = () => {
            request.result.close();
            resolve(all.result);
          };
        };
      }),
  );
