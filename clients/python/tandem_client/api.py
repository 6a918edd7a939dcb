"""The methods of both clients, in the order of the routes in docs/api.md."""

from tandem_client.calls import collections as of_collections
from tandem_client.calls import documents as of_documents
from tandem_client.calls import ingesting, searching, service
from tandem_client.calls import jobs as of_jobs
from tandem_client.methods import Listing, Method, Steps


class Api:
    """All methods that are one call, a few calls, or a list; ``ingest`` and ``follow_job`` are in the clients."""

    ingest_batch = Method(ingesting.ingest_batch)
    ingest_files = Method(ingesting.ingest_files)

    get_job = Method(of_jobs.get_job)
    jobs = Listing(of_jobs.jobs_page, lambda page: page.jobs, lambda page: page.next_cursor)
    jobs_page = Method(of_jobs.jobs_page)
    job_documents = Listing(of_jobs.job_documents_page, lambda page: page.documents, lambda page: page.next_cursor)
    job_documents_page = Method(of_jobs.job_documents_page)
    cancel_job = Method(of_jobs.cancel_job)
    retry_job = Method(of_jobs.retry_job)
    wait_job = Steps(of_jobs.wait_job)

    search = Method(searching.search)
    search_batch = Method(searching.search_batch)
    search_similar = Method(searching.search_similar)
    facets = Method(searching.facets)
    rerank = Method(searching.rerank)
    embed = Method(searching.embed)

    collections = Method(of_collections.collections)
    get_collection = Method(of_collections.get_collection)
    put_collection = Method(of_collections.put_collection)
    delete_collection = Method(of_collections.delete_collection)
    start_reembedding = Method(of_collections.start_reembedding)
    get_reembedding = Method(of_collections.get_reembedding)
    switch_reembedding = Method(of_collections.switch_reembedding)
    roll_back_reembedding = Method(of_collections.roll_back_reembedding)
    drop_reembedding = Method(of_collections.drop_reembedding)
    reembedding_overlap = Method(of_collections.reembedding_overlap)

    get_document = Method(of_documents.get_document)
    get_documents = Method(of_documents.get_documents)
    documents = Listing(of_documents.documents_page, lambda page: page.documents, lambda page: page.next_cursor)
    documents_page = Method(of_documents.documents_page)
    patch_document = Method(of_documents.patch_document)
    delete_document = Method(of_documents.delete_document)
    delete_documents = Method(of_documents.delete_documents)
    compare_source = Method(of_documents.compare_source)

    keys = Method(service.keys)
    create_key = Method(service.create_key)
    rotate_key = Method(service.rotate_key)
    revoke_key = Method(service.revoke_key)
    usage = Method(service.usage)
    traffic = Method(service.traffic)
    set_traffic = Method(service.set_traffic)

    about = Method(service.about)
    health = Method(service.health)
    ready = Method(service.ready)
    models = Method(service.models)
    metrics = Method(service.metrics)
    openapi = Method(service.openapi)
