"""IIIF Presentation: what is told of a series (`subject`), gathered from slides and other images, written as manifests
of version 3.0 and 2.1; and the collections that lead to them.

Manifests and collections are plain dictionaries: iiif-prezi3, their judge in the tests, takes as long to import as all
the rest of the server.
"""
