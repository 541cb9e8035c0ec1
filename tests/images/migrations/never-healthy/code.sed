/^    def check(/a\        raise DatabaseError("this release is never healthy")
